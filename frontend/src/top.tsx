import { NumberDot } from "./charts";
import type { Numbered, Run } from "./data";
import { figure, visible } from "./text";
import { ThemeToggle } from "./theme";

interface Props { run: Run; comparing: string[] | null; eidolon: string; onHelp: () => void }

/** The top of the page: what was measured, the main numbers, warnings, and provenance behind a fold.
 *
 * While runs are compared, there are their names alone: the numbers of one of them would say nothing.
 */
export function Top({ run, comparing, eidolon, onHelp }: Props) {
  const title = (
    <div class="title">
      <h1>{comparing ? comparing.map(visible).join(" and ") : visible(run.name)}</h1>
      <span class="tools">
        <ThemeToggle />
        <button type="button" class="quiet" onClick={onHelp}>Keys <kbd>?</kbd></button>
      </span>
    </div>
  );
  if (comparing) return <header>{title}</header>;
  return (
    <header>
      {title}
      <p class="sentence">{visible(run.sentence)}</p>
      {run.numbers.length > 0 && (
        <ul class="numbers">{run.numbers.map((number) => <NumberCard key={number.key} number={number} />)}</ul>
      )}
      {run.warnings.length > 0 && (
        <ul class="warnings" aria-label="Warnings">{run.warnings.map((text, i) => <li key={i}>{visible(text)}</li>)}</ul>
      )}
      <div class="folds">
        {run.more_numbers.length > 0 && (
          <details>
            <summary>All numbers</summary>
            {run.intervals && <p class="dim">95 % intervals: {visible(run.intervals)}.</p>}
            <div class="scroll" tabIndex={0} role="group" aria-label="All numbers"><table>
              <thead><tr><th scope="col">quantity</th><th scope="col">value</th><th scope="col">interval</th><th scope="col">responses</th><th scope="col" class="note">note</th></tr></thead>
              <tbody>{[...run.numbers, ...run.more_numbers].map(({ key, estimate }) => (
                <tr key={key}><th scope="row">{key}</th><td>{figure(estimate.value)}</td>
                  <td>{estimate.ci ? `${figure(estimate.ci[0])} to ${figure(estimate.ci[1])}` : "–"}</td>
                  <td>{figure(estimate.n)}</td><td class="note">{visible(estimate.reason ?? better(estimate.higher_is_better))}</td></tr>
              ))}</tbody>
            </table></div>
          </details>
        )}
        <details>
          <summary>Where this comes from</summary>
          <dl class="facts">
            {run.provenance.map((fact, i) => <div key={i}><dt>{visible(fact.label)}</dt><dd>{visible(fact.value)}</dd></div>)}
            <div><dt>page</dt><dd>eidolon view {eidolon}</dd></div>
          </dl>
        </details>
      </div>
    </header>
  );
}

function better(higher: boolean | null | undefined): string {
  return higher == null ? "" : higher ? "higher is better" : "lower is better";
}

function NumberCard({ number }: { number: Numbered }) {
  const { value, ci, reason, higher_is_better: higher } = number.estimate;
  return (
    <li>
      <span class="label">{number.label}</span>
      <span class="value">{value == null ? "undefined" : figure(value)}</span>
      <span class="dim">{value == null ? visible(reason ?? "") : ci ? `${figure(ci[0])} to ${figure(ci[1])}` : reason ?? "no interval"}</span>
      <span class="dim better">{better(higher)}</span>
      <NumberDot number={number} />
    </li>
  );
}
