// The document of a leaderboard (benchmark/report/board/records.py has the same records with their meaning), and what the
// tables compute from it: which rows pass, in which groups and in which order.

import type { Interval } from "./data";
import { terms } from "./filter";

export interface Cell { value: number | null; ci: Interval | null; text: string; interval: string | null; reason: string | null }
export interface Column { key: string; label: string; higher_is_better: boolean | null; interval: boolean; logarithmic: boolean }
export interface Row {
  name: string; run: string; link: string | null; opens: "page" | "report" | "folder" | null; task: string; dataset: string;
  table: number; group: number; wider: number; n: { requested: number; samples: number; scored: number; unscored: number };
  parts: Record<string, string>; signature: string; cells: Record<string, Cell>; warnings: string[]; doctor: string; doctor_failed: string[];
}
export interface Table { title: string; headline: string; columns: Column[] }
export interface BoardView {
  schema: string; kind: "leaderboard"; eidolon: string; strict: string[]; compared: string[]; tables: Table[]; rows: Row[];
}

/** What a reader chose; it is the part of the address after `#`. */
export interface Choice {
  q: string; task: string; dataset: string; judge: string; decoding: string; doctor: string; wide: string; sort: string; run: string;
}
export const NONE: Choice = { q: "", task: "", dataset: "", judge: "", decoding: "", doctor: "", wide: "", sort: "", run: "" };

export function readChoice(): Choice {
  const found = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.keys(NONE).map((name) => [name, found.get(name) ?? ""])) as unknown as Choice;
}

export function choiceText(choice: Partial<Choice>): string {
  return `#${new URLSearchParams(Object.entries(choice).filter(([, value]) => value))}`;
}

/** The name of a part of the signature in a sentence. */
export const PARTS: Record<string, string> = { n: "number of samples", eidolon: "version of Eidolon" };
export const partName = (part: string) => (Object.hasOwn(PARTS, part) ? PARTS[part]! : part);

export const part = (row: Row, name: string): string => (Object.hasOwn(row.parts, name) ? row.parts[name]! : "");
export const cell = (row: Row, key: string): Cell | undefined => (Object.hasOwn(row.cells, key) ? row.cells[key] : undefined);

/** The address of a report: only a relative path, whatever the data says. */
export const safeLink = (row: Row): string | undefined => (row.link && /^\.\.?\//.test(row.link) ? row.link : undefined);

export interface Group {
  id: number; table: Table; all: Row[]; columns: Column[]; domains: Record<string, Interval>;
  /** Parts of the signature that all rows share, and those in which other groups of the same table have another value. */
  shared: [string, string][]; special: [string, string][];
}

/** The groups of all rows, by the rule that the reader chose. */
export function makeGroups(view: BoardView, wide: boolean): Group[] {
  const found = new Map<number, Row[]>();
  for (const row of view.rows) {
    const id = wide ? row.wider : row.group;
    const rows = found.get(id);
    if (rows) rows.push(row);
    else found.set(id, [row]);
  }
  const by = wide ? view.compared : view.strict;
  const values = view.tables.map(() => new Map<string, Set<string>>());
  for (const row of view.rows) {
    for (const name of by) {
      const known = values[row.table]!;
      if (!known.has(name)) known.set(name, new Set());
      known.get(name)!.add(part(row, name));
    }
  }
  return [...found].map(([id, all]) => {
    const number = all[0]!.table, table = view.tables[number]!;
    const columns = table.columns.filter(({ key }) => all.some((row) => cell(row, key)));
    const shared = Object.entries(all[0]!.parts).filter(([name, text]) => all.every((row) => part(row, name) === text));
    return {
      id, table, all, columns, shared,
      special: shared.filter(([name]) => (values[number]!.get(name)?.size ?? 0) > 1),
      domains: Object.fromEntries(columns.filter((one) => one.interval).map((one) => [one.key, domain(one, all)])),
    };
  });
}

/** The ends of the axis of a column's bars: round numbers around every interval. */
function domain({ key, logarithmic }: Column, rows: Row[]): Interval {
  const found = rows.flatMap((row) => { const one = cell(row, key); return one?.value == null ? [] : [one.value, ...(one.ci ?? [])]; });
  if (!found.length) return [0, 1];
  const low = Math.min(...found), high = Math.max(...found);
  if (logarithmic && low > 0) {
    const power = Math.floor(Math.log2(low));
    return [2 ** power, 2 ** Math.max(power + 1, Math.ceil(Math.log2(high)))];
  }
  const span = high - low || Math.abs(high) || 1;
  const step = 10 ** Math.floor(Math.log10(span)) / 2;
  const start = Math.floor(low / step + 1e-9) * step;
  return [start, Math.max(start + step, Math.ceil(high / step - 1e-9) * step)];
}

export function select(rows: Row[], choice: Choice): Row[] {
  const wanted = terms(choice.q);
  const is = (value: string, chosen: string) => chosen === "" || value === chosen;
  return rows.filter((row) => is(row.task, choice.task) && is(row.dataset, choice.dataset) && is(part(row, "judge"), choice.judge)
    && is(part(row, "decoding"), choice.decoding) && is(row.doctor, choice.doctor) && (!wanted.length || wanted.every((term) => searchable(row).includes(term))));
}

const texts = new WeakMap<Row, string>();

function searchable(row: Row): string {
  let text = texts.get(row);
  if (text === undefined) {
    text = [row.name, row.run, row.task, row.doctor, ...row.doctor_failed, ...row.warnings, ...Object.values(row.parts)].join("\n").toLowerCase();
    texts.set(row, text);
  }
  return text;
}

export interface Order { key: string; up: boolean }

/** The order that the reader chose, or where a group has no such column the best headline first. */
export function orderOf(sort: string, group: Group): Order {
  const key = sort.replace(/^[-+]/, "");
  if (sort && (TEXTS.some(([name]) => name === key) || key === "n" || group.columns.some((one) => one.key === key))) return { key, up: sort[0] === "+" };
  return { key: group.table.headline, up: first(group.table.headline, group) };
}

/** Whether a column goes up when it is first chosen: texts do, and numbers where lower is better. */
export function first(key: string, group: Group): boolean {
  return TEXTS.some(([name]) => name === key) || group.columns.some((one) => one.key === key && one.higher_is_better === false);
}

export const TEXTS: [string, string][] = [["decoding", "decoding"], ["judge", "judge"], ["dataset", "dataset"], ["doctor", "doctor"], ["model", "model"]];

export function textOf(row: Row, key: string): string {
  return key === "model" ? row.name : key === "doctor" ? row.doctor : part(row, key);
}

export function sorted(rows: Row[], { key, up }: Order): Row[] {
  const text = TEXTS.some(([name]) => name === key);
  const value = (row: Row) => (text ? textOf(row, key) : key === "n" ? row.n.scored : cell(row, key)?.value ?? null);
  return [...rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    const order = typeof x === "string" ? x.localeCompare(y as string) : x - (y as number);
    return up ? order : -order;
  });
}
