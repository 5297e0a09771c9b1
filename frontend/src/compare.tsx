// Two runs: their differences, and the samples where they disagree, side by side.

import { useMemo, useState } from "preact/hooks";
import { Forest } from "./charts";
import type { Details, Pairing, Run, View } from "./data";
import { useDetail } from "./explore";
import { isShortcut, useKeys, useStep } from "./keys";
import { List } from "./list";
import type { Route } from "./route";
import { Sample } from "./sample";
import { figure, many, visible } from "./text";

const OUTCOMES: Record<string, string> = { a_better: "A is better", b_better: "B is better", no_significant_difference: "no difference shown" };
const KINDS: [string, string][] = [
  ["", "any difference"], ["b", "only B hallucinates"], ["a", "only A hallucinates"], ["missed", "one misses what the other names"],
];

interface Props { view: View; details: Details; route: Route; move: (changed: Partial<Route>) => void; active: boolean }

export function Compare({ view, details, route, move, active }: Props) {
  const [number, setNumber] = useState(0);
  const pair = view.pairs[number]!;
  const [a, b] = [view.runs[pair.a]!, view.runs[pair.b]!];
  return (
    <section>
      {view.pairs.length > 1 && (
        <p class="run-choice"><label for="pair">B is</label>{" "}
          <select id="pair" value={String(number)} onChange={(e) => setNumber(Number(e.currentTarget.value))}>
            {view.pairs.map((one, i) => <option key={i} value={String(i)}>{visible(view.runs[one.b]!.name)}</option>)}
          </select></p>
      )}
      <p class="lead"><b>A</b> is {visible(a.name)}. <b>B</b> is {visible(b.name)}.</p>
      {pair.reason ? <p class="reason">The numbers cannot be compared: {visible(pair.reason)}</p> : <Differences pair={pair} a={a} b={b} />}
      <Disagreements key={number} pair={pair} view={view} details={details} route={route} move={move} active={active} />
    </section>
  );
}

function Differences({ pair, a, b }: { pair: Pairing; a: Run; b: Run }) {
  return (
    <div class="panels stacked">
      <article class="panel">
        <h2>Differences</h2>
        <ul>{pair.findings.map((text, i) => <li key={i}>{visible(text)}</li>)}</ul>
        <Forest rows={pair.differences} names={[a.name, b.name]} />
        <p class="dim">A filled dot is a significant difference after the correction.</p>
      </article>
      <article class="panel">
        <h2>All quantities</h2>
        <div class="scroll" tabIndex={0} role="group" aria-label="Differences"><table>
          <thead><tr><th scope="col">quantity</th><th scope="col">A</th><th scope="col">B</th><th scope="col">B minus A</th><th scope="col">interval</th><th scope="col">corrected p</th><th scope="col" class="note">finding</th></tr></thead>
          <tbody>{pair.differences.map(({ key, a: mine, b: other, estimate, p_holm, outcome }) => (
            <tr key={key}><th scope="row">{visible(key)}</th><td>{figure(mine)}</td><td>{figure(other)}</td><td>{figure(estimate.value)}</td>
              <td>{estimate.ci ? `${figure(estimate.ci[0])} to ${figure(estimate.ci[1])}` : "–"}</td><td>{p_holm == null ? "–" : p_holm < 0.001 ? "< 0.001" : p_holm.toFixed(3)}</td>
              <td class="note">{outcome ? OUTCOMES[outcome] : visible(estimate.reason ?? "")}</td></tr>
          ))}</tbody>
        </table></div>
        <ul class="dim">{pair.notes.map((text, i) => <li key={i}>{visible(text)}</li>)}</ul>
      </article>
    </div>
  );
}

/** The position in B of each response of A, by sample and generation. */
function counterparts(a: Run, b: Run): Map<number, number> {
  const key = (run: Run, i: number) => `${run.index.generations[i]} ${run.index.sample_ids[i]}`;
  const places = new Map(b.index.sample_ids.map((_, i) => [key(b, i), i] as const));
  const found = new Map<number, number>();
  a.index.sample_ids.forEach((_, i) => { const at = places.get(key(a, i)); if (at !== undefined) found.set(i, at); });
  return found;
}

function names(run: Run, column: number[]): Set<string> {
  return new Set(column.map((i) => run.categories[i]!));
}

interface Disagreement { i: number; a: number; b: number; missed: number }

function Disagreements({ pair, view, details, route, move, active }: { pair: Pairing } & Props) {
  const [a, b] = [view.runs[pair.a]!, view.runs[pair.b]!];
  const [kind, setKind] = useState("");
  const [boxes, setBoxes] = useState(false);
  const other = useMemo(() => counterparts(a, b), [a, b]);
  const all = useMemo(() => {
    const found: Disagreement[] = [];
    for (const [i, at] of other) {
      if (a.index.states[i]!.includes("u") || b.index.states[at]!.includes("u")) continue;
      const [mine, theirs] = [names(a, a.index.absent[i]!), names(b, b.index.absent[at]!)];
      const [here, there] = [names(a, a.index.missed[i]!), names(b, b.index.missed[at]!)];
      const row = { i, a: mine.difference(theirs).size, b: theirs.difference(mine).size, missed: here.symmetricDifference(there).size };
      if (row.a || row.b || row.missed) found.push(row);
    }
    return found.sort((x, y) => y.a + y.b - x.a - x.b || y.missed - x.missed || x.i - y.i);
  }, [a, b, other]);
  const found = useMemo(() => all.filter((row) => kind === "" || (kind === "a" ? row.a > 0 && !row.b : kind === "b" ? row.b > 0 && !row.a : row.missed > 0)).map((row) => row.i), [all, kind]);
  const linked = a.index.sample_ids.findIndex((id, i) => id === route.sample && a.index.generations[i] === route.generation);
  const chosen = linked >= 0 && other.has(linked) ? linked : found[0] ?? -1;
  const choose = (i: number) => move({ sample: a.index.sample_ids[i]!, generation: a.index.generations[i]! });
  const step = useStep(found, chosen, choose);
  useKeys(active, (event) => {
    if (!isShortcut(event)) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "b") setBoxes((now) => !now);
  });
  const [left, right] = [useDetail(details, pair.a, chosen), useDetail(details, pair.b, other.get(chosen) ?? -1)];
  if (!other.size) return <p class="reason">The two runs have no sample in common.</p>;
  return (
    <div class="explore">
      <section class="side" aria-label="Samples where the runs disagree">
        <h2>Where they disagree</h2>
        <div class="filters"><div class="wide"><label for="disagreement">Show</label>
          <select id="disagreement" value={kind} onChange={(e) => setKind(e.currentTarget.value)}>{KINDS.map(([name, text]) => <option key={name} value={name}>{text}</option>)}</select></div></div>
        <p class="found" role="status">{many(found.length, "response")} of {other.size.toLocaleString("en")} in both runs</p>
        {found.length ? <List run={a} number={pair.a} details={details} found={found} chosen={chosen} choose={choose} />
          : <p class="reason">There is no such response.</p>}
      </section>
      <section class="main both" aria-label="The sample in both runs">
        {[{ loaded: left, run: a, letter: "A" }, { loaded: right, run: b, letter: "B" }].map(({ loaded, run, letter }) => (
          <div key={letter}>
            {loaded.error ? <p class="reason" role="alert">{loaded.error}</p> : loaded.value
              ? <Sample run={run} detail={loaded.value} route={route} boxes={boxes} setBoxes={setBoxes} step={step} place={0} count={0} heading={`${letter}: ${run.name}, ${loaded.value.response.sample_id}`} />
              : <p class="dim">Reading …</p>}
          </div>
        ))}
      </section>
    </div>
  );
}
