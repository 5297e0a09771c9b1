// The page of `eidolon run --watch` (benchmark/report/live/records.py has its document). It loads itself again while
// the run goes on, and looks the same without a server.

import "./live.css";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Edit, Mention, Numbered } from "./data";
import { VERDICTS, figure, many, pieces, share, visible } from "./text";
import { ThemeToggle, initialTheme } from "./theme";

interface Stage { label: string; done: number | null; total: number | null; speed: string[]; left: string }
interface Example {
  sample_id: string; prompt: string | null; text: string; cut: boolean; mentions: Mention[]; edits: Edit[]; picture: string | null;
}
interface Counts {
  responses: number; failed: number; judged: number; unscored: number; with_hallucination: number; named: number; hallucinated: number;
}
interface Run {
  name: string; state: "waiting" | "running" | "finished"; total: number; counts: Counts; reasons: string[];
  judging: string | null; examples: Example[]; numbers: Numbered[]; report: string | null;
}
interface View {
  schema: string; kind: "live"; eidolon: string; title: string; command: string;
  status: "running" | "finished" | "interrupted" | "failed"; error: string | null;
  started: string; written: string; every: number; patience: number; stage: Stage | null; runs: Run[];
}

const SCHEMA = "eidolon/live/1";
const WORDS: Record<View["status"], string> = { running: "Running", finished: "Finished", interrupted: "Interrupted", failed: "Failed" };

/** Seconds since a time, by the clock of this machine. */
const since = (time: string) => Math.max(0, (Date.now() - Date.parse(time)) / 1000);

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function Live({ view }: { view: View }) {
  const [, tick] = useState(0);
  const [paused, pause] = useState(false);
  const running = view.status === "running";
  useEffect(() => {
    if (!running) return;
    const clock = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(clock);
  }, [running]);
  useEffect(() => {
    if (!running || paused) return;
    // Not while a reader marks a text, and not in a hidden window.
    const again = setInterval(() => {
      if (!document.hidden && getSelection()?.isCollapsed !== false) location.reload();
    }, 1000 * view.every);
    return () => clearInterval(again);
  }, [running, paused, view.every]);
  const silent = running && since(view.written) > view.patience;
  const current = view.runs.find((run) => run.state === "running") ?? [...view.runs].reverse().find((run) => run.state !== "waiting");
  return (
    <>
      <header>
        <div class="title">
          <h1>{WORDS[view.status]}: {visible(view.title)}</h1>
          <span class="tools">
            {running && <button type="button" aria-pressed={paused} onClick={() => pause(!paused)}>{paused ? "Refresh again" : "Stop refreshing"}</button>}
            <ThemeToggle />
          </span>
        </div>
        <State view={view} silent={silent} />
        {running && view.stage && <Progress stage={view.stage} />}
      </header>
      <main>
        {view.runs.map((run, i) => <RunCard key={i} run={run} status={view.status} examples={run === current} />)}
      </main>
      <footer class="dim">
        <p>Started {new Date(view.started).toLocaleString("en-GB")}, {running ? `${duration(since(view.started))} ago` : `took ${duration((Date.parse(view.written) - Date.parse(view.started)) / 1000)}`}.
          {running && ` This page was written ${duration(since(view.written))} ago.`} Eidolon {view.eidolon}.</p>
        <p><code>{visible(view.command)}</code></p>
      </footer>
    </>
  );
}

function State({ view, silent }: { view: View; silent: boolean }) {
  const resume = "The files are whole. The same command continues the run.";
  switch (view.status) {
    case "finished": return <p class="sentence">All runs have ended. The reports have the whole results.</p>;
    case "interrupted": return <p class="reason" role="alert">The run was interrupted. {resume}</p>;
    case "failed": return <p class="reason" role="alert">The run ended with an error: <span class="pre">{visible(view.error ?? "")}</span></p>;
    default: return silent ? <p class="reason" role="alert">There has been no news for {duration(since(view.written))}. The process may have been killed. {resume}</p>
      : <p class="sentence dim">Numbers on this page are not final.</p>;
  }
}

function Progress({ stage }: { stage: Stage }) {
  return (
    <section class="stage" aria-label="Now">
      <p><b>{visible(stage.label)}</b>{stage.total == null && " …"}</p>
      {stage.total != null && stage.done != null && (
        <>
          <progress max={Math.max(1, stage.total)} value={stage.done} aria-label={stage.label} />
          <p>{stage.done.toLocaleString("en")} of {stage.total.toLocaleString("en")} ({Math.floor(100 * stage.done / Math.max(1, stage.total))} %)
            <span class="dim"> · {[...stage.speed, stage.left].map(visible).join(" · ")}</span></p>
        </>
      )}
    </section>
  );
}

function RunCard({ run, status, examples }: { run: Run; status: View["status"]; examples: boolean }) {
  const { counts } = run;
  const state = run.state === "running" && status !== "running" ? WORDS[status].toLowerCase() : run.state;
  return (
    <article class="panel run">
      <div class="title"><h2>{visible(run.name)}</h2><span class={`badge ${state}`}>{state}</span></div>
      {run.state === "waiting" ? <p class="dim">{many(run.total, "response")} to come.</p> : (
        <dl class="counts">
          <Count name="responses" value={`${counts.responses.toLocaleString("en")} of ${run.total.toLocaleString("en")}`} />
          <Count name="failed" value={counts.failed.toLocaleString("en")} bad={counts.failed > 0} />
          <Count name="judged" value={counts.judged.toLocaleString("en")} note={counts.unscored ? `${counts.unscored} unscored` : ""} />
          {run.state === "running" && counts.judged > 0 && <>
            <Count name="with a hallucination" value={share(counts.with_hallucination / counts.judged)} note={`${counts.with_hallucination} responses`} />
            <Count name="named, not there" value={counts.named ? share(counts.hallucinated / counts.named) : "–"} note={`${counts.hallucinated} of ${counts.named} objects`} />
          </>}
        </dl>
      )}
      {run.reasons.length > 0 && <ul class="warnings" aria-label="Why responses failed">{run.reasons.map((text, i) => <li key={i}>{visible(text)}</li>)}</ul>}
      {run.judging && run.state === "running" && <p class="dim">{visible(run.judging)}</p>}
      {run.state === "finished" && <>
        <dl class="counts">{run.numbers.map(({ key, label, estimate }) => (
          <Count key={key} name={label} value={figure(estimate.value)} note={estimate.ci ? `${figure(estimate.ci[0])} to ${figure(estimate.ci[1])}` : ""} />
        ))}</dl>
        {run.report && <p><a href={run.report}>Report of {visible(run.name)}</a></p>}
      </>}
      {examples && run.examples.length > 0 && (
        <section aria-label="First hallucinations">
          <h3>First hallucinations</h3>
          <ul class="examples">{run.examples.map((example, i) => <Shown key={i} example={example} />)}</ul>
        </section>
      )}
    </article>
  );
}

function Count({ name, value, note = "", bad = false }: { name: string; value: string; note?: string; bad?: boolean }) {
  return <div class={bad ? "bad" : ""}><dt>{visible(name)}</dt><dd>{value}{note && <span class="dim"> {note}</span>}</dd></div>;
}

function Shown({ example }: { example: Example }) {
  return (
    <li>
      {example.picture && <img src={example.picture} alt={`Picture of sample ${example.sample_id}`} />}
      <div>
        <p class="row-id">{visible(example.sample_id)}</p>
        {example.prompt && <p class="question">{visible(example.prompt)}</p>}
        <p class="response pre" dir="auto">{pieces(example.text, example.mentions, example.edits).map((piece, i) => piece.mention
          ? <mark key={i} class={piece.mention.verdict ?? "ignored"} title={`${piece.mention.category}: ${VERDICTS[piece.mention.verdict ?? "ignored"]}`}>{visible(piece.text)}</mark>
          : piece.edit && piece.text.trim() ? <span key={i} class="left-out">{visible(piece.text)}</span> : visible(piece.text))}{example.cut && " …"}</p>
        {example.mentions.filter((mention) => mention.end <= mention.start && mention.verdict === "hallucinated").length > 0 && (
          <p class="rest">Not in the picture: {example.mentions.filter((m) => m.end <= m.start && m.verdict === "hallucinated").map((m, i) => <mark key={i} class="hallucinated">{visible(m.category)}</mark>)}</p>
        )}
      </div>
    </li>
  );
}

const place = document.getElementById("app")!;
initialTheme();
try {
  const view = JSON.parse(document.getElementById("data")!.textContent!) as View;
  if (view.schema !== SCHEMA) throw new Error(`the data has the schema ${view.schema}, this page reads ${SCHEMA}`);
  const stage = view.stage;
  if (view.status === "running" && stage?.total) document.title = `${Math.floor(100 * (stage.done ?? 0) / stage.total)} % - ${document.title}`;
  place.replaceChildren();
  render(<Live view={view} />, place);
} catch (error) {
  place.textContent = `This page cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
  throw error;
}
