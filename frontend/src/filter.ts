// What the list shows: filters, search and order over the columns of the index.

import type { Run } from "./data";

export interface Filters {
  verdict: string; category: string; position: string; split: string; disagree: boolean; unscored: boolean;
  least: string; most: string; query: string; sort: string;
}

export const NONE: Filters = {
  verdict: "", category: "", position: "", split: "", disagree: false, unscored: false, least: "", most: "",
  query: "", sort: "run",
};

export const SORTS: [string, string][] = [
  ["run", "order of the run"],
  ["hallucinated", "most hallucinated objects"],
  ["share", "highest share hallucinated"],
  ["missed", "most missed objects"],
  ["longest", "longest first"],
  ["shortest", "shortest first"],
  ["id", "sample id"],
];

/** The orders that need a truth. */
export const BY_TRUTH = ["hallucinated", "share", "missed"];

/** The samples that pass, in order. `matches` holds those that the search has found, null without a search. */
export function select(run: Run, filters: Filters, matches: Set<number> | null): number[] {
  const { index } = run;
  const category = filters.category === "" ? -1 : run.categories.indexOf(filters.category);
  const least = filters.least === "" ? 0 : Number(filters.least);
  const most = filters.most === "" ? Infinity : Number(filters.most);
  const found: number[] = [];
  for (let i = 0; i < index.sample_ids.length; i++) {
    const state = index.states[i]!;
    if (matches && !matches.has(i)) continue;
    if (filters.unscored && !state.includes("u")) continue;
    if (filters.disagree && !state.includes("d")) continue;
    if (filters.position && !state.includes(filters.position)) continue;
    if (filters.split && index.splits[i] !== filters.split) continue;
    if (index.words[i]! < least || index.words[i]! > most) continue;
    if (!passes(run, i, filters.verdict, category)) continue;
    found.push(i);
  }
  return order(run, found, filters.sort);
}

/** Whether a sample has an object with the verdict; with a category, that object. */
function passes(run: Run, i: number, verdict: string, category: number): boolean {
  const { there, absent, missed, states } = run.index;
  const has = (column: number[][]) => (category < 0 ? column[i]!.length > 0 : column[i]!.includes(category));
  switch (verdict) {
    case "hallucinated": return has(absent);
    case "grounded": return has(there);
    case "missed": return has(missed);
    case "clean": return !states[i]!.includes("u") && !absent[i]!.length && (category < 0 || has(there) || has(missed));
    case "wrong": return absent[i]!.length + missed[i]!.length > 0 && (category < 0 || has(absent) || has(missed));
    case "unparsed": return states[i]!.includes("p");
    case "truncated": return states[i]!.includes("t");
    default: return category < 0 || has(there) || has(absent) || has(missed);
  }
}

function order(run: Run, found: number[], sort: string): number[] {
  const { absent, there, missed, words, sample_ids } = run.index;
  const value: Record<string, (i: number) => number> = {
    hallucinated: (i) => -absent[i]!.length,
    share: (i) => -absent[i]!.length / Math.max(1, absent[i]!.length + there[i]!.length),
    missed: (i) => -missed[i]!.length,
    longest: (i) => -words[i]!,
    shortest: (i) => words[i]!,
  };
  const key = value[sort];
  if (key) return found.sort((a, b) => key(a) - key(b) || a - b);
  if (sort === "id") {
    const collator = new Intl.Collator("en", { numeric: true });
    return found.sort((a, b) => collator.compare(sample_ids[a]!, sample_ids[b]!) || a - b);
  }
  return found;
}

/** The words and "quoted phrases" of a query, in lower case. A text matches if it has all of them. */
export function terms(query: string): string[] {
  return [...query.toLowerCase().matchAll(/"([^"]+)"|[^\s"]+/g)].map((m) => m[1] ?? m[0]);
}
