import { useMemo } from "preact/hooks";
import type { Confusion, Run } from "./data";
import { many, share, visible } from "./text";

const COUNTS = ["right_yes", "wrong_yes", "right_no", "wrong_no", "unparsed"] as const;
const LABELS = { right_yes: "yes, right", wrong_yes: "yes, wrong", right_no: "no, right", wrong_no: "no, wrong", unparsed: "unread" };
const LISTED = 50;

/** Right and wrong answers by split and category, and the answers that are neither yes nor no. */
export function ProbeTables({ run, show }: { run: Run; show: (sample: number) => void }) {
  const probe = run.probe!;
  const splits = useMemo(() => sums(probe.confusion, (row) => row.split), [probe]);
  const categories = useMemo(() => sums(probe.confusion, (row) => row.category).sort((a, b) => b.wrong_yes - a.wrong_yes), [probe]);
  return (
    <section class="panels">
      <article class="panel"><h2>By split</h2>
        <p class="lead">Answers are read by the policy “{visible(probe.policy)}”. “Yes, wrong” is a hallucination: the object is not in the picture.</p>
        <Table rows={splits} name="split" />
      </article>
      <article class="panel"><h2>Answers that are not plainly yes or no</h2>
        {probe.unparsed.length === 0 ? <p>Every answer is plainly yes or no.</p> : (
          <>
            <p class="lead">{many(probe.unparsed.length, "answer")}. The policy reads each of them as the tables show.</p>
            <ul>{probe.unparsed.slice(0, LISTED).map((i) => (
              <li key={i}><button type="button" class="link" onClick={() => show(i)}>{visible(run.index.sample_ids[i]!)}</button> {visible(run.index.excerpts[i]!)}</li>
            ))}</ul>
            {probe.unparsed.length > LISTED && <p class="dim">The first {LISTED}. The filter “not plainly yes or no” lists all.</p>}
          </>
        )}
      </article>
      <article class="panel"><h2>By category</h2><Table rows={categories} name="category" /></article>
    </section>
  );
}

function sums(rows: Confusion[], key: (row: Confusion) => string): Confusion[] {
  const found = new Map<string, Confusion>();
  for (const row of rows) {
    const name = key(row);
    const sum = found.get(name) ?? { split: name, category: name, right_yes: 0, wrong_yes: 0, right_no: 0, wrong_no: 0, unparsed: 0 };
    for (const count of COUNTS) sum[count] += row[count];
    found.set(name, sum);
  }
  return [...found.values()];
}

function Table({ rows, name }: { rows: Confusion[]; name: "split" | "category" }) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={`Answers by ${name}`}><table>
      <thead><tr><th scope="col">{name}</th>{COUNTS.map((count) => <th scope="col" key={count}>{LABELS[count]}</th>)}<th scope="col">right</th><th scope="col">says yes</th></tr></thead>
      <tbody>{rows.map((row) => {
        const all = COUNTS.reduce((sum, count) => sum + row[count], 0);
        return (
          <tr key={row[name]}><th scope="row">{visible(row[name])}</th>{COUNTS.map((count) => <td key={count}>{row[count]}</td>)}
            <td>{share((row.right_yes + row.right_no) / all)}</td><td>{share((row.right_yes + row.wrong_yes) / all)}</td></tr>
        );
      })}</tbody>
    </table></div>
  );
}
