import { Effects, Lines, OddsRatios, RateCounts, RateCurves } from "./charts";
import type { Run } from "./data";
import { figure, visible } from "./text";

/** What changes over the length of a text. Where something was not measured, the reason stands in its place. */
export function OverTheText({ run }: { run: Run }) {
  const { position, charts, effects } = run;
  return (
    <section class="panels">
      <article class="panel">
        <h2>Hallucination by position</h2>
        {position.reason ? <p class="reason">{visible(position.reason)}</p> : (
          <>
            <p class="lead">The share of newly named objects that are not in the picture, by the number of words before them. The other lines are the same
              under a control. Points with fewer than {position.least} mentions are left out.</p>
            <RateCurves position={position} />
            <RateCounts position={position} />
          </>
        )}
      </article>
      {!position.reason && (
        <article class="panel">
          <h2>Late-minus-early odds ratio per 100 words, salience not held</h2>
          <p class="lead">{visible(position.sentence)}</p>
          {position.late_early?.odds_ratio != null && (
            <>
              <OddsRatios fits={[position.late_early]} />
              <p class="dim">{position.late_early.mentions} first mentions, {position.late_early.hallucinated} of them not in the picture.</p>
              {position.sensitivity.length > 0 && (
                <details><summary>The same under other specifications</summary>
                  <OddsRatios fits={position.sensitivity} />
                  <ul>{position.sensitivity.filter((fit) => fit.odds_ratio == null).map((fit) => <li key={fit.label}>{fit.label}: none ({visible(fit.reason ?? "")})</li>)}</ul>
                </details>
              )}
            </>
          )}
        </article>
      )}
      {position.rivals.length > 0 && (
        <article class="panel">
          <h2>What else could explain a rise</h2>
          <p class="lead">{visible(position.verdict)}</p>
          <OddsRatios fits={position.rivals} />
          <ul>{position.rivals.filter((fit) => fit.odds_ratio == null).map((fit) => <li key={fit.label}>{fit.label}: none ({visible(fit.reason ?? "")})</li>)}</ul>
        </article>
      )}
      {effects.length > 0 && (
        <article class="panel">
          <h2>Forced orders</h2>
          <p class="lead">The model continues a text that already names some objects. So what is left and how late it is vary apart.</p>
          <Effects effects={effects} />
          <dl class="facts">{effects.map(({ label, estimate, sentence }) => (
            <div key={label}><dt>{label}</dt><dd>{sentence} {estimate.value == null ? `Not measured: ${visible(estimate.reason ?? "")}`
              : `Difference of the hallucinated share: ${figure(estimate.value)}${estimate.ci ? ` (${figure(estimate.ci[0])} to ${figure(estimate.ci[1])})` : ""}.`}</dd></div>
          ))}</dl>
        </article>
      )}
      {charts.map((chart) => (
        <article class="panel" key={chart.title}>
          <h2>{chart.title}</h2>
          <p class="lead">{chart.sentence}</p>
          {chart.reason ? <p class="reason">{visible(chart.reason)}</p> : <Lines chart={chart} />}
          {!chart.reason && chart.notes.length > 0 && <ul>{chart.notes.map((note, i) => <li key={i}>{visible(note)}</li>)}</ul>}
        </article>
      ))}
    </section>
  );
}
