// Charts of the memory study: one small chart for each variant, and rows of dots with their intervals.

import * as Plot from "@observablehq/plot";
import { Figure } from "./charts";
import type { Estimate } from "./data";
import type { Bin, Point, Seed } from "./memory";
import { figure, visible } from "./text";

interface Row { x: string; y: number; low?: number; high?: number; label: string }

type Line = { name: string; points: (Point | Bin)[] };

interface Props {
  name: string; lines: Line[];
  /** For retention: the lengths on the axis, and the longest text of the training. */
  lengths?: number[]; trained?: number | null; measure?: "retention" | "accuracy"; start?: { value: number | null; ci: [number, number] | null } | null; seeds?: Seed[];
  /** The points are bins of words instead. */
  bins?: boolean;
}

const place = (point: Point | Bin) => ("n" in point ? String(point.n) : `${point.start}${point.end == null ? "+" : ""}`);

function rowsOf(line: Line, measure: "retention" | "accuracy"): Row[] {
  return line.points.flatMap((point) => {
    const estimate = "n" in point ? point[measure] : point.hallucinated;
    const of = "n" in point ? `${point.images} images` : `${point.mentions} mentions`;
    return estimate.value == null ? [] : [{ x: place(point), y: estimate.value, low: estimate.ci?.[0], high: estimate.ci?.[1],
      label: `${line.name}, ${place(point)}: ${figure(estimate.value)}${estimate.ci ? ` (${figure(estimate.ci[0])} to ${figure(estimate.ci[1])})` : ""}, ${of}` }];
  });
}

/** The chart of one variant. The other lines are pale behind it, so that each can be compared with all. */
export function Multiples({ name, lines, lengths = [], trained = null, measure = "retention", start = null, seeds = [], bins = false }: Props) {
  const all = lines.map((line) => ({ name: line.name, rows: rowsOf(line, measure) }));
  const mine = [...(start?.value != null ? [{ x: "0", y: start.value, low: start.ci?.[0], high: start.ci?.[1], label: `${name}, 0: ${figure(start.value)}` }] : []),
    ...all.find((line) => line.name === name)?.rows ?? []];
  const domain = bins ? [...new Set(lines.flatMap((line) => line.points.map(place)))].sort((a, b) => parseInt(a) - parseInt(b)) : ["0", ...lengths.map(String)];
  const dots = seeds.flatMap((seed) => Object.entries(seed.retention).flatMap(([n, y]) => (y == null || !domain.includes(n) ? []
    : [{ x: n, y, label: `seed ${seed.seed}, ${n}: ${figure(y)}` }])));
  const beyond = trained == null ? undefined : lengths.map(String).find((n) => Number(n) > trained);
  const at = (x: string) => domain.indexOf(x);
  const x = (row: { x: string }) => at(row.x);
  const highest = Math.max(...all.flatMap((line) => line.rows.map((row) => row.high ?? row.y)), 0.01);
  const limits: [number, number] = bins ? [0, Math.min(1, highest * 1.1)] : measure === "accuracy" ? [0.3, 1] : [-0.3, 1.3];
  const text = mine.map((row) => row.label.slice(name.length + 2)).join("; ");
  return (
    <Figure label={`${name}: ${text}`} deps={[name, lines, measure]} draw={() => ({
      height: 210, marginLeft: 42, marginRight: 12, marginTop: 10, marginBottom: 34,
      x: { domain: [-0.3, domain.length - 0.7], ticks: domain.map((_, i) => i), tickFormat: (i: number) => domain[i]!, label: bins ? "words before" : "tokens of text", tickSize: 3 },
      y: { domain: limits, label: null, grid: true, ticks: 5, ...(bins || measure === "accuracy" ? { tickFormat: "%" } : {}) },
      marks: [
        ...(beyond ? [Plot.rect([0], { x1: at(beyond) - 0.5, x2: domain.length - 0.7, y1: limits[0], y2: limits[1], fill: "var(--fg)", fillOpacity: 0.06 })] : []),
        ...(bins ? [] : [Plot.ruleY([measure === "accuracy" ? 0.5 : 1], { stroke: "var(--dim)", strokeDasharray: "4 3" })]),
        ...(bins || measure === "accuracy" ? [] : [Plot.ruleY([0], { stroke: "var(--dim)" })]),
        ...all.filter((line) => line.name !== name).map((line) => Plot.lineY(line.rows, { x, y: "y", stroke: "var(--dim)", strokeOpacity: 0.35, strokeWidth: 1.2, clip: true })),
        Plot.ruleX(mine.filter((row) => row.low != null), { x, y1: "low", y2: "high", stroke: "var(--accent)", strokeOpacity: 0.5, strokeWidth: 5, clip: true }),
        Plot.lineY(mine, { x, y: "y", stroke: "var(--accent)", strokeWidth: 2.2, clip: true }),
        Plot.dot(mine, { x, y: "y", r: 3.5, fill: "var(--accent)", title: (row: Row) => visible(row.label), clip: true }),
        Plot.dot(dots, { x, y: "y", r: 3.5, dx: 7, fill: "var(--panel)", stroke: "var(--c1)", strokeWidth: 1.5, title: (row: { label: string }) => row.label, clip: true }),
      ],
    })} />
  );
}

export interface DotRow { label: string; estimate: Estimate; filled: boolean; seeds?: number[] }

interface DotProps { rows: DotRow[]; axis: string; zero?: boolean; logarithmic?: boolean; reference?: number }

/** Numbers as dots with their intervals, one row each, and the seeds as circles. */
export function Dots({ rows: given, axis, zero = false, logarithmic = false, reference = zero ? 0 : undefined }: DotProps) {
  const rows = given.flatMap(({ label, estimate, filled, seeds = [] }) => estimate.value == null ? []
    : [{ label: visible(label), value: estimate.value, low: estimate.ci?.[0] ?? estimate.value, high: estimate.ci?.[1] ?? estimate.value, filled, seeds }]);
  if (!rows.length) return null;
  const circles = rows.flatMap((row) => row.seeds.map((value) => ({ label: row.label, value })));
  const values = [...rows.flatMap((row) => [row.low, row.high]), ...circles.map((one) => one.value), ...(reference == null ? [] : [reference])];
  const low = Math.min(...values), high = Math.max(...values);
  const domain: [number, number] = logarithmic ? [low / 1.2, high * 1.2] : [Math.min(low, low - 0.04 * (high - low)), high + 0.04 * (high - low) || 1];
  const text = rows.map((row) => `${row.label} ${figure(row.value)}${row.high > row.low ? `, ${figure(row.low)} to ${figure(row.high)}` : ""}`).join("; ");
  return (
    <Figure label={`${axis}: ${text}`} deps={[given]} draw={(width) => {
      const left = Math.min(width * 0.45, 20 + 6.4 * Math.max(...rows.map((row) => row.label.length)));
      return {
        height: 44 + 25 * rows.length, marginLeft: left, marginRight: 20, marginTop: 8, marginBottom: 34,
        x: { type: logarithmic ? "log" : "linear", domain, label: axis, grid: true, ticks: width < 500 ? 4 : 6,
          ...(logarithmic ? { tickFormat: (d: number) => Number(d.toPrecision(2)).toLocaleString("en") } : {}) },
        y: { label: null, domain: rows.map((row) => row.label), axis: null },
        marks: [
          Plot.axisY({ tickSize: 0, label: null, lineWidth: left / 11, textOverflow: "ellipsis" }),
          ...(reference == null ? [] : [Plot.ruleX([reference], { stroke: "var(--fg)", strokeDasharray: "4 3" })]),
          Plot.ruleY(rows, { x1: "low", x2: "high", y: "label", stroke: "var(--accent)", strokeWidth: 3 }),
          Plot.dot(circles, { x: "value", y: "label", r: 3.5, dy: 7, fill: "var(--panel)", stroke: "var(--c1)", strokeWidth: 1.5 }),
          Plot.dot(rows, { x: "value", y: "label", r: 5, fill: (row: { filled: boolean }) => (row.filled ? "var(--accent)" : "var(--panel)"), stroke: "var(--accent)", strokeWidth: 2,
            title: (row: { label: string; value: number; low: number; high: number }) => `${row.label}: ${figure(row.value)}${row.high > row.low ? ` (${figure(row.low)} to ${figure(row.high)})` : ""}` }),
        ],
      };
    }} />
  );
}
