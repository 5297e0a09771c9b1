// One sample: its picture with boxes, the response with its marks, and what is known of each mention.

import { useEffect, useRef, useState } from "preact/hooks";
import { own, type Box, type Detail, type Mention, type Run } from "./data";
import { routeText, type Route } from "./route";
import { VERDICTS, many, pieces, share, unplaced, visible } from "./text";

interface Props {
  run: Run; detail: Detail; route: Route; boxes: boolean; setBoxes: (change: (now: boolean) => boolean) => void;
  step: (by: number) => void; place: number; count: number;
  /** Without its own tools, beside another one. */
  heading?: string;
}

/** What the pointer or the focus is on. */
interface Spot { category: string; mention: Mention | null; at: HTMLElement }

export async function copySample(detail: Detail): Promise<void> {
  const { sample, response, judgement, question, answer, boxes } = detail;
  const text = JSON.stringify({ sample, ...(question && { question, answer }), response, judgement, boxes }, null, 2);
  await navigator.clipboard.writeText(text);
}

export function Sample({ run, detail, route, boxes, setBoxes, step, place, count, heading }: Props) {
  const { response, judgement, sample, question } = detail;
  const [spot, setSpot] = useState<Spot | null>(null);
  const [copied, setCopied] = useState("");
  useEffect(() => { setSpot(null); setCopied(""); }, [detail]);
  const copy = () => copySample(detail).then(() => setCopied("copied"), () => setCopied("the browser does not allow it"));
  const mentions = judgement?.mentions ?? [];
  const text = response.response ?? "";
  const link = routeText({ ...route, tab: "", sample: response.sample_id, generation: response.generation });
  return (
    <article class="sample">
      <div class="sample-head">
        <h2>{visible(heading ?? response.sample_id)}{response.generation > 0 && ` (${response.generation + 1})`}</h2>
        {heading === undefined && <span class="tools">
          <button type="button" onClick={() => step(-1)} disabled={place <= 0} aria-label="Previous sample">‹</button>
          <span class="dim">{place >= 0 ? `${place + 1} of ${count}` : "outside the filters"}</span>
          <button type="button" onClick={() => step(1)} disabled={place >= count - 1} aria-label="Next sample">›</button>
          <a href={link}>Link</a>
          <button type="button" onClick={copy}>Copy as JSON</button>
          <span role="status" class="dim">{copied}</span>
        </span>}
      </div>
      <div class={detail.picture ? "sample-body" : "sample-body without"}>
        {detail.picture && <Picture detail={detail} spot={spot} all={boxes} toggle={() => setBoxes((now) => !now)} />}
        <div class="sample-text">
          {question && <p class="question">{visible(question.text)} <span class="dim">In truth: {question.label}. Split: {visible(question.split)}.</span></p>}
          {!question && response.prompt && <details class="prompt"><summary>Prompt</summary><p class="pre">{visible(response.prompt)}</p></details>}
          {response.reasoning && <details class="prompt"><summary>Reasoning before the response</summary><p class="pre">{visible(response.reasoning)}</p></details>}
          <Marked text={text} mentions={mentions} spot={spot} setSpot={setSpot} detail={detail} />
          {judgement?.unscored && <p class="reason">Unscored: {visible(judgement.unscored)}</p>}
          {!judgement?.unscored && response.error && <p class="reason">No response: {visible(response.error)}</p>}
          {!judgement && !detail.answer && <p class="reason">Not judged yet.</p>}
          {response.finish_reason === "length" && <p class="dim">Stopped at the token limit.</p>}
          {detail.answer && !question && <p class="answer">In truth: {detail.answer.truth}. Read as: {Object.entries(detail.answer.parsed).map(([policy, read]) =>
            `${read ?? "neither"} (${visible(policy)})`).join(", ")}.</p>}
          <Truth detail={detail} setSpot={setSpot} />
          {judgement?.votes && <Votes votes={judgement.votes} />}
          {sample?.references?.length ? <details class="prompt"><summary>{many(sample.references.length, "reference caption")}</summary>
            <ul>{sample.references.map((caption, i) => <li key={i}>{visible(caption)}</li>)}</ul></details> : null}
        </div>
      </div>
      {spot && <Card spot={spot} detail={detail} run={run} />}
    </article>
  );
}

function Marked({ text, mentions, spot, setSpot, detail }: {
  text: string; mentions: Mention[]; spot: Spot | null; setSpot: (spot: Spot | null) => void; detail: Detail;
}) {
  const edits = detail.judgement?.edits ?? [];
  const rest = unplaced(text, mentions, edits);
  const shaded = mentions.some((mention) => riskOf(detail, mention) !== null);
  return (
    <>
      {text.trim() ? <p class="response pre" dir="auto">{pieces(text, mentions, edits).map((piece, i) => piece.mention
        ? <Mark key={i} mention={piece.mention} text={piece.text} spot={spot} setSpot={setSpot} detail={detail} />
        : piece.edit && piece.text.trim() ? <span key={i} class="left-out" title={`not read by the judge: ${piece.edit.rule}`}>{visible(piece.text)}</span>
        : visible(piece.text))}</p>
        : detail.response.response !== null && <p class="reason">The response is empty.</p>}
      {rest.length > 0 && <p class="rest">Judged to be named, without a place: {rest.map((mention, i) =>
        <Mark key={i} mention={mention} text={mention.category} spot={spot} setSpot={setSpot} detail={detail} />)}</p>}
      {shaded && <p class="dim risk-legend">No truth, shaded by risk: {[0.1, 0.5, 0.9].map((risk) =>
        <span key={risk} class="risk" style={strength(risk)}>{risk}</span>)} is the probability, from text alone, that the object is not in the picture.</p>}
    </>
  );
}

/** The risk of a mention, null where the truth decides or the run has no risks. */
function riskOf(detail: Detail, mention: Mention): number | null {
  return detail.risks?.[detail.judgement?.mentions.indexOf(mention) ?? -1] ?? null;
}

function strength(risk: number) {
  return { "--risk": `${Math.round(100 * risk)}%` };
}

function state(mention: Mention, risk: number | null): string {
  if (risk === null) return VERDICTS[mention.verdict ?? "ignored"];
  return `${mention.verdict ? VERDICTS[mention.verdict] : "truth not known"}, risk ${risk.toFixed(2)}`;
}

interface MarkProps { mention: Mention; text: string; spot: Spot | null; setSpot: (spot: Spot | null) => void; detail: Detail }

function Mark({ mention, text, spot, setSpot, detail }: MarkProps) {
  const on = (event: { currentTarget: HTMLElement }) => setSpot({ category: mention.category, mention, at: event.currentTarget });
  const off = () => setSpot(null);
  const verdict = mention.verdict ?? "ignored";
  const risk = riskOf(detail, mention);
  const same = spot && spot.category === mention.category ? " same" : "";
  return (
    <mark class={`${verdict}${risk === null ? "" : " risk"}${same}`} tabIndex={0} role="button" aria-label={`${text}: ${state(mention, risk)}`}
      {...(risk !== null && { style: strength(risk), title: `risk ${risk.toFixed(2)}` })}
      aria-describedby={spot?.mention === mention ? "card" : undefined}
      onMouseEnter={on} onMouseLeave={off} onFocus={on} onBlur={off} onClick={on} data-boxes={own(detail.boxes, mention.category) ? "" : undefined}>
      {visible(text)}
    </mark>
  );
}

/** What is true of the picture: the objects that the response names, and those that it misses. */
function Truth({ detail, setSpot }: { detail: Detail; setSpot: (spot: Spot | null) => void }) {
  const { sample, judgement } = detail;
  if (!sample || detail.question || detail.answer) return null;
  if (!sample.objects.length) return <p class="truth">In the picture: nothing that the judge knows.</p>;
  const named = new Set((judgement?.mentions ?? []).map((mention) => mention.category));
  return (
    <p class="truth">In the picture:{" "}
      {sample.objects.map((name) => {
        const on = (event: { currentTarget: HTMLElement }) => setSpot({ category: name, mention: null, at: event.currentTarget });
        return (
          <span key={name} class={named.has(name) ? "object" : "object missed"} tabIndex={0} role="button"
            aria-label={`${name}: ${named.has(name) ? "named" : "missed"}`}
            onMouseEnter={on} onFocus={on} onMouseLeave={() => setSpot(null)} onBlur={() => setSpot(null)}>
            {visible(name)}{!named.has(name) && judgement && !judgement.unscored ? " (missed)" : ""}
          </span>
        );
      })}
    </p>
  );
}

function Picture({ detail, spot, all, toggle }: { detail: Detail; spot: Spot | null; all: boolean; toggle: () => void }) {
  const names = Object.keys(detail.boxes);
  const shown = all ? names : spot && own(detail.boxes, spot.category) ? [spot.category] : [];
  return (
    <figure class="picture">
      <div class="frame">
        <img src={detail.picture!} alt={`Picture of sample ${detail.response.sample_id}`} />
        {shown.length > 0 && (
          <svg class="boxes" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
            {shown.flatMap((name) => own(detail.boxes, name)!.map((box, i) => <Outline key={`${name} ${i}`} box={box} strong={spot?.category === name} />))}
          </svg>
        )}
        {all && shown.flatMap((name) => own(detail.boxes, name)!.map(([x, y], i) => (
          <span key={`${name} ${i}`} class="box-name" aria-hidden="true" style={{ left: `${100 * x}%`, top: `${100 * y}%` }}>{visible(name)}</span>
        )))}
      </div>
      {names.length > 0 && <figcaption><button type="button" class="quiet" aria-pressed={all} onClick={toggle}>{all ? "Hide" : "Show"} all boxes</button></figcaption>}
    </figure>
  );
}

function Outline({ box: [x0, y0, x1, y1], strong }: { box: Box; strong: boolean }) {
  return (
    <>
      <rect class="outline-back" x={x0} y={y0} width={x1 - x0} height={y1 - y0} vector-effect="non-scaling-stroke" />
      <rect class={strong ? "outline strong" : "outline"} x={x0} y={y0} width={x1 - x0} height={y1 - y0} vector-effect="non-scaling-stroke" />
    </>
  );
}

/** What is known of the mention under the pointer or the focus. */
function Card({ spot, detail, run }: { spot: Spot; detail: Detail; run: Run }) {
  const card = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const node = card.current!, parent = node.offsetParent as HTMLElement, at = spot.at.getBoundingClientRect();
    const around = parent.getBoundingClientRect();
    const left = Math.max(0, Math.min(at.left - around.left, around.width - node.offsetWidth));
    const below = at.bottom + node.offsetHeight + 12 < innerHeight || at.top < node.offsetHeight + 12;
    node.style.left = `${left}px`;
    node.style.top = `${below ? at.bottom - around.top + 6 : at.top - around.top - node.offsetHeight - 6}px`;
  }, [spot]);
  const { mention, category } = spot;
  const words = (detail.response.response ?? "").split(/\s+/).filter(Boolean).length;
  return (
    <div class="card" id="card" role="tooltip" ref={card}>
      <p><b>{visible(category)}</b>{mention && <> · {state(mention, riskOf(detail, mention))}</>}</p>
      {mention && mention.end > mention.start && <p class="dim">word {mention.word + 1} of {words}{mention.token != null && `, token ${mention.token + 1}`}</p>}
      <p>{truth(detail, category)}</p>
      {mention?.match && <p>Paired with {visible(mention.match)}{mention.similarity != null && `, similarity ${mention.similarity.toFixed(2)}`}.</p>}
      {mention?.votes && <VoteTable votes={mention.votes} />}
      {!mention?.votes && run.calibration && detail.judgement?.votes && own(detail.judgement.votes, category)
        && <VoteTable votes={own(detail.judgement.votes, category)!} />}
    </div>
  );
}

function truth({ sample, boxes, question }: Detail, category: string): string {
  if (question) return `The truth is ${question.label}.`;
  if (!sample) return "The truth is not known.";
  if (!sample.objects.includes(category)) return `The ground truth has no ${visible(category)} in this picture.`;
  const area = own(sample.areas, category);
  const count = own(boxes, category)?.length;
  const parts = [count && count > 1 ? `${count} of them` : "", area ? `the largest covers ${share(area)} of the picture` : ""].filter(Boolean);
  return `The ground truth has it${parts.length ? ": " + parts.join(", ") : ""}.`;
}

/** Votes by judge and format. */
function VoteTable({ votes }: { votes: Record<string, number> }) {
  const names = Object.keys(votes);
  const split = names.map((name) => { const at = name.lastIndexOf("/"); return [at < 0 ? name : name.slice(0, at), at < 0 ? "" : name.slice(at + 1)] as const; });
  const judges = [...new Set(split.map(([judge]) => judge))];
  const formats = [...new Set(split.map(([, format]) => format))];
  const cell = (judge: string, format: string) => {
    const vote = own(votes, format ? `${judge}/${format}` : judge);
    return vote === undefined ? "" : vote ? "yes" : "no";
  };
  return (
    <table class="votes">
      <thead><tr><th scope="col">votes</th>{formats.map((format) => <th scope="col" key={format}>{visible(format)}</th>)}</tr></thead>
      <tbody>{judges.map((judge) => (
        <tr key={judge}><th scope="row">{visible(judge)}</th>{formats.map((format) => <td key={format}>{cell(judge, format)}</td>)}</tr>
      ))}</tbody>
    </table>
  );
}

function Votes({ votes }: { votes: Record<string, Record<string, number>> }) {
  const rows = Object.entries(votes).map(([name, cast]) => ({ name, yes: Object.values(cast).filter(Boolean).length, of: Object.keys(cast).length }));
  rows.sort((a, b) => b.yes - a.yes || a.name.localeCompare(b.name));
  return (
    <details class="prompt"><summary>Votes on {many(rows.length, "category").replace("categorys", "categories")}</summary>
      <ul class="plain">{rows.map(({ name, yes, of }) => <li key={name}>{visible(name)}: {yes} of {of} say yes</li>)}</ul>
    </details>
  );
}
