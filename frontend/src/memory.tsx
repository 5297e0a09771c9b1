// The page of the memory study (benchmark/study/memory/page_records.py has its document).

import "./memory.css";
import { useState } from "preact/hooks";
import { TabList, type Tab } from "./app";
import type { Estimate, Fact } from "./data";
import { Dots, Multiples, type DotRow } from "./memory_charts";
import { readRoute, writeRoute } from "./route";
import { figure, many, visible } from "./text";
import { ThemeToggle } from "./theme";

export interface Condition { condition: string; series: string; label: string; sentence: string }
export interface Point {
  condition: string; series: string; n: number; images: number; retention: Estimate; accuracy: Estimate; reason: string | null;
}
export interface Seed { seed: number; yes_no_accuracy: number | null; f05: number | null; retention: Record<string, number | null> }
export interface Bin { start: number; end: number | null; mentions: number; hallucinated: Estimate }
export interface Size {
  text_parameters: number; bytes_at: Record<string, number>; attention_tokens_of_same_bytes: Record<string, number>;
  tokens_per_second: Record<string, number>; speed_to_attention: Record<string, number>;
}
export interface Variant {
  name: string; layout: string; memory: string; main: boolean; seeing: string; over: string; filled_by: string | null; seeds: Seed[];
  yes_no_accuracy: Estimate; scores: Record<string, Estimate>; points: Point[]; hallucination: Bin[];
  position_effect: { odds_ratio: Estimate; by_seed: Record<string, number | null>; reason: string | null } | null;
  decay: Estimate | null; reach: number | null; size: Size | null;
}
export interface Comparison {
  a: string; b: string; condition: string; n: number; registered: boolean; images: number; difference: Estimate;
  matched: boolean | null; p: number | null; p_holm: number | null; outcome: string; reason: string | null;
}
export interface MemoryView {
  schema: string; kind: "memory"; eidolon: string; title: string; sentence: string; findings: string[]; lengths: number[];
  trained_tokens: number | null; fewest: number; conditions: Condition[]; variants: Variant[]; comparisons: Comparison[];
  registered: number; machine: string; provenance: Fact[];
}

const TABS: Tab[] = [
  { name: "", label: "Retention" }, { name: "verdicts", label: "Comparisons" }, { name: "descriptions", label: "Descriptions" },
  { name: "text", label: "Over the description" }, { name: "cost", label: "Cost" },
];

/** Which variants a part shows. */
const CHOICES: [string, string, (one: Variant) => boolean][] = [
  ["main", "those that learned to see", (one) => one.main],
  ["trained", "all that were trained", (one) => one.filled_by === null],
  ["all", "all, also with other rules for the store", () => true],
];

export function interval({ ci }: Estimate): string {
  return ci ? `${figure(ci[0])} to ${figure(ci[1])}` : "";
}

/** Seeds are worth drawing if there are several. */
const several = (values: number[]) => (values.length > 1 ? values : []);

/** A number of a table: all of a column have as many digits. */
const short = (value: number) => (Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(1));

export function MemoryPage({ view }: { view: MemoryView }) {
  const [tab, setTab] = useState(() => readRoute().tab);
  const [choice, setChoice] = useState(() => (view.variants.some((one) => one.main) ? "main" : "trained"));
  const chosen = TABS.some((one) => one.name === tab) ? tab : "";
  const move = (name: string) => {
    setTab(name);
    writeRoute({ tab: name, run: 0, sample: "", generation: 0 });
  };
  const shown = view.variants.filter(CHOICES.find(([name]) => name === choice)![2]);
  const variants = (
    <span><label for="variants">Variants</label>{" "}
      <select id="variants" value={choice} onChange={(e) => setChoice(e.currentTarget.value)}>
        {CHOICES.map(([name, text, passes]) => <option key={name} value={name}>{text} ({view.variants.filter(passes).length})</option>)}
      </select></span>
  );
  return (
    <>
      <header>
        <div class="title"><h1>{visible(view.title)}</h1><span class="tools"><ThemeToggle /></span></div>
        <p class="sentence">{visible(view.sentence)}</p>
        <details open={innerWidth > 640}><summary>Findings</summary>
          <ul class="findings">{view.findings.map((text, i) => <li key={i}>{visible(text)}</li>)}</ul></details>
        <div class="folds"><details><summary>Where this comes from</summary>
          <dl class="facts">{view.provenance.map((fact, i) => <div key={i}><dt>{visible(fact.label)}</dt><dd>{visible(fact.value)}</dd></div>)}
            <div><dt>page</dt><dd>eidolon view {visible(view.eidolon)}</dd></div></dl></details></div>
      </header>
      <TabList tabs={TABS} chosen={chosen} choose={move} />
      <main><div role="tabpanel" id="panel" aria-labelledby={`tab-${chosen}`}>
        {chosen === "" && <Retention view={view} shown={shown} variants={variants} />}
        {chosen === "verdicts" && <Verdicts view={view} />}
        {chosen !== "" && chosen !== "verdicts" && <p class="choices">{variants}</p>}
        {chosen === "descriptions" && <Descriptions shown={shown} />}
        {chosen === "text" && <OverTheDescription view={view} shown={shown} />}
        {chosen === "cost" && <Cost view={view} shown={shown} />}
      </div></main>
    </>
  );
}

/** Name, memory and seeds of a variant. */
function Head({ one }: { one: Variant }) {
  return (
    <>
      <h3>{visible(one.name)} {one.seeing === "did not learn to see" && <span class="state">did not learn to see</span>}</h3>
      <p class="dim">{visible(one.memory)}{one.filled_by && `, store filled by the rule ${visible(one.filled_by)}`}; {many(one.seeds.length, "seed")},
        {" "}intervals over {visible(one.over)}</p>
    </>
  );
}

function Retention({ view, shown, variants }: { view: MemoryView; shown: Variant[]; variants: preact.ComponentChild }) {
  const [place, setPlace] = useState(0);
  const [measure, setMeasure] = useState<"retention" | "accuracy">("retention");
  const condition = view.conditions[place];
  if (!condition) return <p class="reason">No retention was measured.</p>;
  const points = (one: Variant) => one.points.filter((p) => p.condition === condition.condition && p.series === condition.series);
  const measured = shown.filter((one) => points(one).some((p) => p.images >= view.fewest && p[measure].value != null));
  const seeds = condition.condition === "filler" && condition.series === "unnamed" && measure === "retention";
  return (
    <section>
      <p class="choices">
        {variants}
        <span><label for="condition">Text</label>{" "}<select id="condition" value={String(place)} onChange={(e) => setPlace(Number(e.currentTarget.value))}>
          {view.conditions.map((one, i) => <option key={i} value={String(i)}>{visible(one.label)}</option>)}</select></span>
        <span><label for="measure">Measure</label>{" "}<select id="measure" value={measure} onChange={(e) => setMeasure(e.currentTarget.value as "retention")}>
          <option value="retention">retention R(n) / R(0)</option><option value="accuracy">share of right answers</option></select></span>
      </p>
      <p class="wide-lead">{visible(condition.sentence)} A line is one variant with its 95 % intervals{seeds && ", and a circle is one seed"}. The pale lines are the
        others.{view.trained_tokens && ` Grey: texts longer than the ${view.trained_tokens} tokens of training.`}</p>
      {measured.length === 0 && <p class="reason">No variant has enough images to compute this.</p>}
      <div class="multiples">{measured.map((one) => (
        <article class="panel" key={one.name}>
          <Head one={one} />
          <Multiples lengths={view.lengths} trained={view.trained_tokens} measure={measure} name={one.name}
            lines={measured.map((other) => ({ name: other.name, points: points(other).filter((p) => p.images >= view.fewest) }))}
            start={measure === "retention" ? { value: 1, ci: null } : condition.series === "unnamed" ? one.yes_no_accuracy : null}
            seeds={seeds && one.seeds.length > 1 ? one.seeds : []} />
        </article>
      ))}</div>
      {measured.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Numbers"><table>
          <thead><tr><th scope="col">variant</th><th scope="col">right at n = 0</th>{view.lengths.map((n) => <th key={n} scope="col">{n}</th>)}</tr></thead>
          <tbody>{measured.map((one) => (
            <tr key={one.name}><th scope="row">{visible(one.name)}</th><td><Cell estimate={one.yes_no_accuracy} /></td>
              {view.lengths.map((n) => <td key={n}><Cell estimate={points(one).find((p) => p.n === n)?.[measure]} /></td>)}</tr>
          ))}</tbody>
        </table></div>
      )}
    </section>
  );
}

function Cell({ estimate }: { estimate: Estimate | null | undefined }) {
  if (estimate?.value == null) return <>–</>;
  return <>{short(estimate.value)}{estimate.ci && <span class="dim interval">{short(estimate.ci[0])} to {short(estimate.ci[1])}</span>}</>;
}

function Verdicts({ view }: { view: MemoryView }) {
  const registered = view.comparisons.filter((one) => one.registered);
  const others = view.comparisons.filter((one) => !one.registered);
  const pairs = [...new Set(others.map((one) => `${one.a} and ${one.b}`))];
  const [pair, setPair] = useState(pairs[0] ?? "");
  const chosen = others.filter((one) => `${one.a} and ${one.b}` === pair);
  return (
    <section>
      <p class="wide-lead">A dot is the retention of the first variant minus that of the second, on the same images, after n tokens. Right of 0 the first keeps
        more. A filled dot is a significant difference. “R(0) equal” says whether both answer about equally well directly after the image; where
        they do not, retention is no fair comparison.</p>
      <article class="panel">
        <h2>Registered before training, with Holm's correction ({registered.length} of {view.registered})</h2>
        {registered.length ? <Compared rows={registered} /> : <p class="reason">None of them could be made.</p>}
      </article>
      {others.length > 0 && (
        <article class="panel">
          <h2>Others, uncorrected</h2>
          <p><label for="pair">Pair</label>{" "}<select id="pair" value={pair} onChange={(e) => setPair(e.currentTarget.value)}>
            {pairs.map((name) => <option key={name} value={name}>{visible(name)}</option>)}</select></p>
          <Compared rows={chosen} named={false} />
        </article>
      )}
    </section>
  );
}

const WHERE: Record<string, string> = { filler: "filler", own: "own description", other: "another's description", before: "filler before the image" };

/** Comparisons as dots and as a table. Those of one pair need not be `named`. */
function Compared({ rows, named = true }: { rows: Comparison[]; named?: boolean }) {
  const name = (one: Comparison) => (named ? `${one.a} − ${one.b}, ${one.n}` : `${WHERE[one.condition]}, ${one.n}`);
  const dots: DotRow[] = rows.map((one) => ({ label: name(one), estimate: one.difference, filled: one.outcome.endsWith("keeps more") }));
  return (
    <>
      <Dots rows={dots} axis="difference of retention" zero />
      <div class="scroll compared" tabIndex={0} role="group" aria-label="Comparisons"><table>
        <thead><tr><th scope="col">first − second</th><th scope="col">text</th><th scope="col">n</th><th scope="col">difference</th><th scope="col">interval</th><th scope="col">p</th>
          <th scope="col">corrected p</th><th scope="col">R(0) equal</th><th scope="col" class="note">finding</th></tr></thead>
        <tbody>{rows.map((one, i) => (
          <tr key={i}><th scope="row">{visible(one.a)} − {visible(one.b)}</th><td>{WHERE[one.condition] ?? visible(one.condition)}</td><td>{one.n}</td><td>{figure(one.difference.value)}</td>
            <td>{interval(one.difference) || "–"}</td><td>{chance(one.p)}</td><td>{chance(one.p_holm)}</td><td>{one.matched == null ? "–" : one.matched ? "yes" : "no"}</td>
            <td class="note">{finding(one)}</td></tr>
        ))}</tbody>
      </table></div>
    </>
  );
}

const chance = (p: number | null) => (p == null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));

function finding(one: Comparison): string {
  const text = one.outcome === "a keeps more" ? `${visible(one.a)} keeps more` : one.outcome === "b keeps more" ? `${visible(one.b)} keeps more` : one.outcome;
  return one.reason ? `${text}: ${visible(one.reason)}` : text;
}

const SCORES: [string, string, string][] = [
  ["f05", "F0.5", "Precision and recall of the objects that a description names, weighted for precision. Higher is better."],
  ["recall", "recall", "The share of the objects in the image that a description names. Higher is better."],
  ["chair_i", "CHAIR_i", "The share of mentions that are not in the image. Lower is better."],
];

function Descriptions({ shown }: { shown: Variant[] }) {
  const described = shown.filter((one) => Object.keys(one.scores).length);
  const names = [...new Set(described.flatMap((one) => Object.keys(one.scores)))];
  if (!described.length) return <p class="reason">None of these variants described images.</p>;
  return (
    <section>
      <div class="multiples wide">
        {SCORES.map(([key, label, sentence]) => (
          <article class="panel" key={key}>
            <h2>{label}</h2>
            <p class="lead">{sentence}{key === "f05" && " A circle is one seed."}</p>
            <Dots axis={label} rows={described.flatMap((one) => one.scores[key] ? [{ label: one.name, estimate: one.scores[key]!, filled: true,
              seeds: key === "f05" ? several(one.seeds.flatMap((seed) => seed.f05 ?? [])) : [] }] : [])} />
          </article>
        ))}
        <article class="panel">
          <h2>Answers directly after the image</h2>
          <p class="lead">The share of yes/no questions that are answered right at n = 0. 0.5 is chance. A circle is one seed.</p>
          <Dots axis="right answers" rows={described.map((one) => ({ label: one.name, estimate: one.yes_no_accuracy, filled: true,
            seeds: several(one.seeds.flatMap((seed) => seed.yes_no_accuracy ?? [])) }))} />
        </article>
      </div>
      <div class="scroll" tabIndex={0} role="group" aria-label="Numbers"><table>
        <thead><tr><th scope="col">variant</th>{names.map((name) => <th key={name} scope="col">{visible(name)}</th>)}</tr></thead>
        <tbody>{described.map((one) => <tr key={one.name}><th scope="row">{visible(one.name)}</th>{names.map((name) => <td key={name}><Cell estimate={one.scores[name]} /></td>)}</tr>)}</tbody>
      </table></div>
    </section>
  );
}

function OverTheDescription({ view, shown }: { view: MemoryView; shown: Variant[] }) {
  const known = shown.filter((one) => one.hallucination.length);
  const effects = shown.filter((one) => one.position_effect);
  if (!known.length && !effects.length) return <p class="reason">None of these variants described images.</p>;
  const lines = known.map((one) => ({ name: one.name, points: one.hallucination.filter((bin) => bin.mentions >= view.fewest) }));
  return (
    <section>
      <p class="wide-lead">Each line is the share of newly named objects that are not in the image, by the number of words before them. A rise alone does not show
        forgetting: what is easy to see is named first.</p>
      <div class="multiples">{known.map((one) => (
        <article class="panel" key={one.name}>
          <Head one={one} />
          <Multiples bins name={one.name} lines={lines} />
        </article>
      ))}</div>
      <div class="multiples wide">
        <article class="panel">
          <h2>Late-minus-early odds ratio per 100 words, salience not held</h2>
          <p class="lead">How many times as high the odds of a hallucination are 100 words later, all else equal. 1 means that position has no effect. A circle
            is one seed.</p>
          <Dots axis="odds ratio per 100 words" logarithmic reference={1} rows={effects.flatMap((one) => one.position_effect!.odds_ratio.value == null ? [] : [{
            label: one.name, estimate: one.position_effect!.odds_ratio, filled: true, seeds: several(Object.values(one.position_effect!.by_seed).flatMap((v) => v ?? [])) }])} />
          <ul>{effects.filter((one) => one.position_effect!.odds_ratio.value == null).map((one) => <li key={one.name}>{visible(one.name)}: none ({visible(one.position_effect!.reason ?? "")})</li>)}</ul>
        </article>
        <article class="panel">
          <h2>Fading of the dependence on the image</h2>
          <p class="lead">The share of the dependence on the image (PDM) that is lost per 100 tokens of the model's own description. 0 means that late words depend
            on the image as much as early ones.</p>
          <Dots axis="lost per 100 tokens" zero rows={known.flatMap((one) => one.decay?.value == null ? [] : [{ label: one.name, estimate: one.decay, filled: true }])} />
        </article>
      </div>
    </section>
  );
}

function Cost({ view, shown }: { view: MemoryView; shown: Variant[] }) {
  const sized = shown.filter((one) => one.size);
  const lengths = Object.keys(sized[0]?.size?.bytes_at ?? {}).map(Number).sort((a, b) => a - b);
  if (!sized.length || !lengths.length) return <p class="reason">These variants have no size of their own.</p>;
  const ends = [...new Set([lengths.find((n) => n >= 512) ?? lengths[0]!, lengths.at(-1)!])];
  const plain = (value: number): Estimate => ({ value, ci: null });
  return (
    <section>
      <div class="multiples wide">{ends.map((n) => (
        <article class="panel" key={n}>
          <h2>Memory of one sequence after {n.toLocaleString("en")} tokens</h2>
          <p class="lead">In KiB. Attention keeps every token, so its memory grows; a state has one size.</p>
          <Dots axis="KiB" logarithmic rows={sized.map((one) => ({ label: one.name, estimate: plain(one.size!.bytes_at[n]! / 1024), filled: true }))} />
        </article>
      ))}{ends.map((n) => (
        <article class="panel" key={n}>
          <h2>Speed after {n.toLocaleString("en")} tokens</h2>
          <p class="lead">Tokens a second of one sequence, on {visible(view.machine)}. Higher is better.</p>
          <Dots axis="tokens a second" zero rows={sized.map((one) => ({ label: one.name, estimate: plain(one.size!.tokens_per_second[n]!), filled: true }))} />
        </article>
      ))}</div>
      <div class="scroll" tabIndex={0} role="group" aria-label="Numbers"><table>
        <thead><tr><th scope="col">variant</th><th scope="col">layout</th><th scope="col">parameters</th>{lengths.map((n) => <th key={n} scope="col">KiB at {n}</th>)}{ends.map((n) => <th key={n} scope="col">tokens/s at {n}</th>)}</tr></thead>
        <tbody>{sized.map((one) => (
          <tr key={one.name}><th scope="row">{visible(one.name)}</th><td>{visible(one.layout)}</td><td>{one.size!.text_parameters.toLocaleString("en")}</td>
            {lengths.map((n) => <td key={n}>{(one.size!.bytes_at[n]! / 1024).toLocaleString("en", { maximumFractionDigits: 0 })}</td>)}
            {ends.map((n) => <td key={n}>{Math.round(one.size!.tokens_per_second[n]!).toLocaleString("en")}</td>)}</tr>
        ))}</tbody>
      </table></div>
    </section>
  );
}
