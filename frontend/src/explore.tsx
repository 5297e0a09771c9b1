import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import { hasTruth, type Detail, type Details, type Run, type View } from "./data";
import { Sample, copySample } from "./sample";
import { BY_TRUTH, NONE, SORTS, select, terms, type Filters } from "./filter";
import { isShortcut, useKeys, useStep } from "./keys";
import { List } from "./list";
import type { Route } from "./route";
import { many, visible } from "./text";

interface Props {
  run: Run; number: number; view: View; details: Details; route: Route; move: (changed: Partial<Route>) => void;
  active: boolean; showCategory: { current: (category: string, verdict: string) => void }; onHelp: () => void;
}

export function Explore({ run, number, view, details, route, move, active, showCategory, onHelp }: Props) {
  const [filters, setFilters] = useState<Filters>(NONE);
  const change = (changed: Partial<Filters>) => setFilters((now) => ({ ...now, ...changed }));
  showCategory.current = (category, verdict) => setFilters({ ...NONE, category, verdict });
  const { matches, searched } = useSearch(run, number, details, filters.query);
  const found = useMemo(() => select(run, filters, matches), [run, filters, matches]);
  const linked = useMemo(() => find(run, route), [run, route.sample, route.generation]);
  // A link leads to its sample even where a filter hides it; else the first of the list is shown.
  const chosen = linked >= 0 ? linked : found[0] ?? -1;
  const choose = useCallback((i: number) => move({ sample: run.index.sample_ids[i]!, generation: run.index.generations[i]! }), [run]);
  const detail = useDetail(details, number, chosen);
  const [boxes, setBoxes] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const step = useStep(found, chosen, choose);
  useKeys(active, (event) => {
    const target = event.target as HTMLElement;
    if (!isShortcut(event)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const inList = target.matches("[role=listbox], body");
    const actions: Record<string, () => void> = {
      j: () => step(1), k: () => step(-1), "?": onHelp, b: () => setBoxes((now) => !now),
      "/": () => search.current!.focus(), c: () => { if (detail.value) void copySample(detail.value); },
      ...(inList ? { ArrowDown: () => step(1), ArrowUp: () => step(-1) } : {}),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  if (run.no_samples) return <p class="reason">{run.no_samples}</p>;
  return (
    <div class="explore">
      <section class="side" aria-label="List of samples">
        <FilterBar run={run} view={view} filters={filters} change={change} search={search} />
        <p class="found" role="status">
          {many(found.length, run.probe ? "answer" : "response")} of {run.index.sample_ids.length.toLocaleString("en")}
          {searched !== null && `, ${Math.round(100 * searched)} % searched`}
          {(found.length < run.index.sample_ids.length || filters.query !== "") &&
            <button type="button" class="quiet" onClick={() => setFilters({ ...NONE, sort: filters.sort })}>Show all</button>}
        </p>
        {found.length ? <List run={run} number={number} details={details} found={found} chosen={chosen} choose={choose} />
          : <p class="reason">No response passes these filters.</p>}
      </section>
      <section class="main" aria-label="Sample">
        {detail.error ? <p class="reason" role="alert">{detail.error}</p>
          : detail.value ? <Sample run={run} detail={detail.value} route={{ ...route, run: number }} boxes={boxes} setBoxes={setBoxes} step={step}
              place={found.indexOf(chosen)} count={found.length} />
          : chosen >= 0 && <p class="dim">Reading …</p>}
      </section>
    </div>
  );
}

function find(run: Run, route: Route): number {
  if (!route.sample) return -1;
  const { sample_ids, generations } = run.index;
  return sample_ids.findIndex((id, i) => id === route.sample && generations[i] === route.generation);
}

interface Loaded { value: Detail | null; error: string | null }

export function useDetail(details: Details, run: number, sample: number): Loaded {
  const [loaded, setLoaded] = useState<Loaded & { sample: number }>({ value: null, error: null, sample: -1 });
  const now = sample >= 0 ? details.now(run, sample) : undefined;
  useEffect(() => {
    if (sample < 0 || now) return;
    let wanted = true;
    details.get(run, sample).then(
      (value) => wanted && setLoaded({ value, error: null, sample }),
      (error: Error) => wanted && setLoaded({ value: null, error: error.message, sample }),
    );
    return () => { wanted = false; };
  }, [details, run, sample]);
  if (now) return { value: now, error: null };
  return loaded.sample === sample ? loaded : { value: null, error: null };
}

/** The samples whose texts have all terms of the query: null without one. The texts of a large page come by and by. */
function useSearch(run: Run, number: number, details: Details, query: string) {
  const [state, setState] = useState<{ matches: Set<number> | null; searched: number | null }>({ matches: null, searched: null });
  useEffect(() => {
    const wanted = terms(query);
    if (!wanted.length) {
      setState({ matches: null, searched: null });
      return;
    }
    let stopped = false;
    const timer = setTimeout(async () => {
      const matches = new Set<number>();
      const count = run.index.sample_ids.length;
      let shown = performance.now();
      for await (const [start, page] of details.all(number)) {
        if (stopped) return;
        page.forEach((detail, i) => {
          const text = searchable(detail);
          if (wanted.every((term) => text.includes(term))) matches.add(start + i);
        });
        if (performance.now() - shown > 300) {
          shown = performance.now();
          setState({ matches: new Set(matches), searched: (start + page.length) / count });
        }
      }
      setState({ matches, searched: null });
    }, 120);
    return () => { stopped = true; clearTimeout(timer); };
  }, [run, number, query]);
  return state;
}

function searchable({ response, question, judgement, sample }: Detail): string {
  const parts = [response.sample_id, response.image_id, response.response, response.error, question?.text, judgement?.unscored,
    ...(sample?.references ?? [])];
  return parts.filter((part) => part != null).join("\n").toLowerCase();
}

interface BarProps {
  run: Run; view: View; filters: Filters; change: (changed: Partial<Filters>) => void; search: RefObject<HTMLInputElement | null>;
}

const DESCRIBED: [string, string][] = [
  ["", "any verdict"], ["hallucinated", "names what is not there"], ["clean", "names nothing wrong"],
  ["grounded", "names what is there"], ["missed", "misses what is there"], ["truncated", "cut off at the token limit"],
];
const ANSWERED: [string, string][] = [
  ["", "any answer"], ["wrong", "wrong"], ["hallucinated", "wrong: says yes"], ["missed", "wrong: says no"], ["clean", "right no, or yes"],
  ["unparsed", "not plainly yes or no"],
];

function FilterBar({ run, view, filters, change, search }: BarProps) {
  const states = useMemo(() => new Set(run.index.states.join("")), [run]);
  const splits = useMemo(() => [...new Set(run.index.splits)].filter(Boolean).sort(), [run]);
  const verdicts = (run.probe ? ANSWERED : DESCRIBED).filter(([name]) => name !== "truncated" || states.has("t"));
  const places = [["1", `before word ${view.early}`], ["2", `word ${view.early} to ${view.late - 1}`], ["3", `from word ${view.late} on`]];
  return (
    <form class="filters" onSubmit={(e) => e.preventDefault()}>
      <label class="wide">Search
        <input ref={search} type="search" value={filters.query} placeholder={'words or "a phrase"'} onInput={(e) => change({ query: e.currentTarget.value })} />
      </label>
      {hasTruth(run) && <Choice label="Verdict" value={filters.verdict} options={verdicts} choose={(verdict) => change({ verdict })} />}
      {hasTruth(run) && <Choice label="Object" value={filters.category} options={[["", "any object"], ...run.categories.map((name) => [name, visible(name)])]}
        choose={(category) => change({ category })} />}
      {splits.length > 1 && <Choice label="Split" value={filters.split} options={[["", "all splits"], ...splits.map((name) => [name, visible(name)])]}
        choose={(split) => change({ split })} />}
      {!run.probe && states.has("1") || states.has("2") || states.has("3")
        ? <Choice label="Position" value={filters.position} options={[["", "any position"], ...places]} choose={(position) => change({ position })} /> : null}
      <Choice label="Order" value={filters.sort} options={SORTS.filter(([name]) => hasTruth(run) || !BY_TRUTH.includes(name!))} choose={(sort) => change({ sort })} />
      {!run.probe && (
        <fieldset class="length-filter"><legend>Words</legend>
          <input type="number" min="0" aria-label="At least this many words" placeholder="from" value={filters.least} onInput={(e) => change({ least: e.currentTarget.value })} />
          <input type="number" min="0" aria-label="At most this many words" placeholder="to" value={filters.most} onInput={(e) => change({ most: e.currentTarget.value })} />
        </fieldset>
      )}
      {states.has("d") && <label class="check"><input type="checkbox" checked={filters.disagree} onChange={(e) => change({ disagree: e.currentTarget.checked })} /> judges disagree</label>}
      {states.has("u") && <label class="check"><input type="checkbox" checked={filters.unscored} onChange={(e) => change({ unscored: e.currentTarget.checked })} /> unscored</label>}
    </form>
  );
}

interface ChoiceProps { label: string; value: string; options: string[][]; choose: (value: string) => void }

function Choice({ label, value, options, choose }: ChoiceProps) {
  const id = `choice-${label.toLowerCase()}`;
  return (
    <div>
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(e) => choose(e.currentTarget.value)}>
        {options.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      </select>
    </div>
  );
}
