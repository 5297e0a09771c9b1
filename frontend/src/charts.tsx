// Charts, all drawn by Observable Plot.

import * as Plot from "@observablehq/plot";
import { useEffect, useRef } from "preact/hooks";
import type { Chart as ChartData, Difference, Effect, Fit, Numbered, Position } from "./data";
import { figure } from "./text";

export const COLOURS = ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4", "12 4"];

interface Props { label: string; height?: number; draw: (width: number) => Plot.PlotOptions; deps: unknown[] }

/** A plot that follows the width of its place. The description is for people who cannot see it. */
export function Figure({ label, draw, deps }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const node = place.current!;
    const render = () => {
      const width = node.clientWidth;
      if (!width) return;
      const plot = Plot.plot({ ...draw(width), width, className: "plot", ariaLabel: label });
      plot.setAttribute("role", "img");
      // The page's own style sheet has these rules: its policy allows no other.
      for (const style of plot.querySelectorAll("style")) style.remove();
      // An image has one description. Names of its parts are not allowed inside.
      for (const part of plot.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
      node.replaceChildren(plot);
    };
    render();
    const observer = new ResizeObserver(render);
    observer.observe(node);
    return () => observer.disconnect();
  }, deps);
  return <div class="figure" ref={place} />;
}

/** One number as a dot with its interval as a bar. Shares have the axis from 0 to 1. */
export function NumberDot({ number }: { number: Numbered }) {
  const { value, ci } = number.estimate;
  if (value == null) return null;
  const high = number.share ? 1 : Math.max(value, ci?.[1] ?? 0) * 1.25 || 1;
  const low = number.share ? 0 : Math.min(0, ci?.[0] ?? value);
  const label = `${number.label} ${figure(value)}${ci ? `, interval ${figure(ci[0])} to ${figure(ci[1])}` : ""}`;
  return (
    <Figure label={label} deps={[number]} draw={() => ({
      height: 44, marginTop: 6, marginBottom: 20, marginLeft: 8, marginRight: 14,
      x: { domain: [low, high], ticks: 3, tickSize: 3, label: null, grid: true },
      y: { axis: null, domain: [0] },
      marks: [
        ...(ci ? [Plot.ruleY([0], { x1: ci[0], x2: ci[1], stroke: "var(--accent)", strokeOpacity: 0.4, strokeWidth: 11 })] : []),
        Plot.dot([0], { x: [value], y: [0], r: 3.5, fill: "var(--accent)" }),
      ],
    })} />
  );
}

/** The end of the axis of words: that of the last point of any curve. */
const axisEnd = (position: Position) => Math.max(10, ...Object.values(position.curves).flat().map((p) => p.end ?? p.start + 10));

const middle = (start: number, end: number | null) => (end == null ? start : (start + end) / 2);

/** The rate of hallucination by words, one line for each control, with the band of the main one. */
export function RateCurves({ position }: { position: Position }) {
  const names = Object.keys(position.curves);
  const rows = names.flatMap((name) => position.curves[name]!
    .filter((p) => p.rate != null && p.mentions >= position.least)
    .map((p) => ({ name, x: middle(p.start, p.end), y: p.rate!, low: p.rate_ci?.[0], high: p.rate_ci?.[1], p })));
  const main = rows.filter((row) => row.name === position.first && row.low != null);
  const prior = rows.filter((row) => row.name === position.first && row.p.prior != null);
  const right = axisEnd(position);
  const top = Math.min(1, 1.15 * Math.max(0.02, ...rows.map((row) => row.y), ...main.map((row) => row.high ?? 0), ...prior.map((row) => row.p.prior ?? 0)));
  return (
    <>
      <Legend names={names} extra={prior.length ? "guessing by how common objects are" : undefined} />
      <Figure label="Rate of hallucination by words before the mention" deps={[position]} draw={(width) => ({
        height: 260, marginLeft: 46, marginBottom: 34,
        x: { label: "words before the mention", domain: [0, right], ticks: width < 500 ? 5 : 10 },
        y: { label: "share that is not in the picture", domain: [0, top], grid: true, tickFormat: "%" },
        marks: [
          Plot.areaY(main, { x: "x", y1: "low", y2: "high", fill: COLOURS[names.indexOf(position.first!)], fillOpacity: 0.15, clip: true }),
          Plot.lineY(prior, { x: "x", y: (d: { p: { prior: number } }) => d.p.prior, stroke: "var(--dim)", strokeDasharray: "1 3", clip: true }),
          ...names.map((name, i) => {
            const line = rows.filter((row) => row.name === name);
            return [
              Plot.lineY(line, { x: "x", y: "y", stroke: COLOURS[i], strokeWidth: 2, strokeDasharray: DASHES[i] }),
              Plot.dot(line, { x: "x", y: "y", r: 3, fill: COLOURS[i], title: (d: typeof rows[number]) =>
                `${name}, words ${d.p.start} to ${d.p.end ?? "the end"}: ${d.p.hallucinated} of ${d.p.mentions} not in the picture` }),
            ];
          }).flat(),
          Plot.ruleY([0]),
        ],
      })} />
    </>
  );
}

/** How many mentions and responses the rates rest on. */
export function RateCounts({ position }: { position: Position }) {
  const points = position.first ? position.curves[position.first]! : [];
  const width = points[0]?.end ? points[0].end - points[0].start : 10;
  const bars = points.map((p) => ({ x1: p.start, x2: p.end ?? p.start + width, mentions: p.mentions, alive: p.alive }));
  return (
    <>
      <Legend names={["first mentions", "responses still going"]} boxes />
      <Figure label="Number of first mentions, and of responses that are long enough, by words" deps={[position]} draw={(w) => ({
        height: 130, marginLeft: 46, marginBottom: 34,
        x: { label: "words before the mention", domain: [0, axisEnd(position)], ticks: w < 500 ? 5 : 10 },
        y: { label: "number", grid: true, ticks: 3 },
        marks: [
          Plot.rectY(bars, { x1: "x1", x2: "x2", y: "mentions", fill: COLOURS[0], fillOpacity: 0.55, inset: 0.5 }),
          Plot.lineY(bars, { x: (d: typeof bars[number]) => (d.x1 + d.x2) / 2, y: "alive", stroke: COLOURS[1], curve: "step", strokeWidth: 2 }),
          Plot.ruleY([0]),
        ],
      })} />
    </>
  );
}

/** Odds ratios as dots with intervals, on a logarithmic axis with 1 marked. */
export function OddsRatios({ fits }: { fits: Fit[] }) {
  const rows = fits.flatMap((fit) => fit.odds_ratio != null && fit.ci ? [{ ...fit, value: fit.odds_ratio, low: fit.ci[0], high: fit.ci[1] }] : []);
  if (!rows.length) return null;
  const text = rows.map((row) => `${row.label} ${figure(row.value)}, ${figure(row.low)} to ${figure(row.high)}`).join("; ");
  return (
    <Figure label={`Odds ratio per 100 words: ${text}`} deps={[fits]} draw={(width) => {
      const longest = Math.max(...rows.map((row) => row.label.length));
      const left = Math.min(230, width * 0.42, 24 + 6.5 * longest);
      return {
        height: 46 + 40 * rows.length, marginLeft: left, marginBottom: 34, marginRight: 24,
        x: { type: "log", label: "odds ratio per 100 words", grid: true, ticks: 4, tickFormat: (d: number) => String(Number(d.toPrecision(2))),
          domain: [Math.min(0.5, ...rows.map((r) => r.low / 1.2)), Math.max(2, ...rows.map((r) => r.high * 1.2))] },
        y: { label: null, domain: rows.map((r) => r.label), axis: null },
        marks: [
          Plot.axisY({ lineWidth: left / 11, tickSize: 0, label: null }),
          Plot.ruleX([1], { stroke: "var(--fg)", strokeDasharray: "4 3" }),
          Plot.ruleY(rows, { x1: "low", x2: "high", y: "label", stroke: "var(--accent)", strokeWidth: 3 }),
          Plot.dot(rows, { x: "value", y: "label", r: 5, fill: "var(--accent)", stroke: "var(--bg)" }),
        ],
      };
    }} />
  );
}

/** A chart of lines with intervals. */
export function Lines({ chart }: { chart: ChartData }) {
  const rows = chart.lines.map((line) => line.points.map(([x, y, low, high, n]) => ({ x, y, low, high, n })));
  const values = rows.flat().flatMap((row) => (row.y == null ? [] : [row.y]));
  const low = Math.min(0, ...values), high = Math.max(...values, low + 0.01);
  return (
    <>
      <Legend names={chart.lines.map((line) => line.label)} />
      <Figure label={`${chart.title} by ${chart.x}`} deps={[chart]} draw={(width) => ({
        height: 260, marginLeft: 46, marginBottom: 34, insetLeft: 6, insetRight: 6,
        x: { label: chart.x, type: chart.logarithmic ? "log" : "linear", ticks: width < 500 ? 4 : 8, tickFormat: (d: number) => String(d) },
        y: { label: chart.y, grid: true, domain: [low, high + 0.08 * (high - low)] },
        marks: [
          Plot.ruleY([0]),
          ...rows.flatMap((line, i) => [
            Plot.ruleX(line.filter((p) => p.low != null), { x: "x", y1: "low", y2: "high", stroke: COLOURS[i], strokeOpacity: 0.45, strokeWidth: 1.5, clip: true }),
            Plot.lineY(line, { x: "x", y: "y", stroke: COLOURS[i], strokeWidth: 2, strokeDasharray: DASHES[i] }),
            Plot.dot(line, { x: "x", y: "y", r: 3, fill: COLOURS[i], title: (d: { x: number; y: number; n: number }) =>
              `${chart.lines[i]!.label}, ${figure(d.x)}: ${figure(d.y)} (n = ${d.n})` }),
          ]),
        ],
      })} />
    </>
  );
}

/** Differences as dots with intervals, with 0 marked. */
export function Effects({ effects }: { effects: Effect[] }) {
  const rows = effects.flatMap(({ label, estimate }) => estimate.value != null && estimate.ci
    ? [{ label, value: estimate.value, low: estimate.ci[0], high: estimate.ci[1] }] : []);
  if (!rows.length) return null;
  const text = rows.map((r) => `${r.label} ${figure(r.value)}, ${figure(r.low)} to ${figure(r.high)}`).join("; ");
  return (
    <Figure label={`Differences of the hallucinated share: ${text}`} deps={[effects]} draw={() => ({
      height: 46 + 34 * rows.length, marginLeft: 90, marginBottom: 34, marginRight: 20, insetLeft: 10, insetRight: 10,
      x: { label: "difference of the hallucinated share", grid: true, ticks: 5 },
      y: { label: null, domain: rows.map((r) => r.label), tickSize: 0 },
      marks: [
        Plot.ruleX([0], { stroke: "var(--fg)", strokeDasharray: "4 3" }),
        Plot.ruleY(rows, { x1: "low", x2: "high", y: "label", stroke: "var(--accent)", strokeWidth: 3 }),
        Plot.dot(rows, { x: "value", y: "label", r: 5, fill: "var(--accent)", stroke: "var(--bg)" }),
      ],
    })} />
  );
}

/** A forest plot: the difference of each share with its interval, and 0 marked. */
export function Forest({ rows: given, names }: { rows: Difference[]; names: [string, string] }) {
  const rows = given.flatMap(({ key, share, estimate, outcome }) => share && estimate.value != null && estimate.ci
    ? [{ key, value: estimate.value, low: estimate.ci[0], high: estimate.ci[1], found: outcome === "a_better" || outcome === "b_better" }] : []);
  if (!rows.length) return null;
  const label = `Differences, ${names[1]} minus ${names[0]}: ${rows.map((r) => `${r.key} ${figure(r.value)}, ${figure(r.low)} to ${figure(r.high)}`).join("; ")}`;
  return (
    <Figure label={label} deps={[given]} draw={(width) => {
      const left = Math.min(width * 0.45, 24 + 6.5 * Math.max(...rows.map((r) => r.key.length)));
      return {
        height: 46 + 26 * rows.length, marginLeft: left, marginBottom: 34, marginRight: 20, insetLeft: 10, insetRight: 10,
        x: { label: "difference, B minus A", grid: true, ticks: width < 500 ? 4 : 8 },
        y: { label: null, domain: rows.map((r) => r.key), tickSize: 0 },
        marks: [
          Plot.ruleX([0], { stroke: "var(--fg)", strokeDasharray: "4 3" }),
          Plot.ruleY(rows, { x1: "low", x2: "high", y: "key", stroke: "var(--accent)", strokeWidth: 3 }),
          Plot.dot(rows, { x: "value", y: "key", r: 5, fill: (d: { found: boolean }) => (d.found ? "var(--accent)" : "var(--panel)"), stroke: "var(--accent)", strokeWidth: 2 }),
        ],
      };
    }} />
  );
}

function Legend({ names, extra, boxes }: { names: string[]; extra?: string; boxes?: boolean }) {
  return (
    <ul class="legend">
      {names.map((name, i) => (
        <li key={name}>
          <svg width="26" height="10" aria-hidden="true">
            {boxes && i === 0 ? <rect x="4" width="18" height="10" fill={COLOURS[i]} fill-opacity="0.55" />
              : <line x1="0" x2="26" y1="5" y2="5" stroke={COLOURS[i]} stroke-width="2.5" stroke-dasharray={boxes ? "" : DASHES[i]} />}
          </svg>
          {name}
        </li>
      ))}
      {extra && <li><svg width="26" height="10" aria-hidden="true"><line x1="0" x2="26" y1="5" y2="5" stroke="var(--dim)" stroke-width="2" stroke-dasharray="1 3" /></svg>{extra}</li>}
    </ul>
  );
}
