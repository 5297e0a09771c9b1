import type { PartVotes, Run } from "./data";
import { figure, share, visible } from "./text";

/** How far the votes of several judges agree. */
export function Judges({ run }: { run: Run }) {
  const found = run.calibration!;
  const formats = found.formats ?? found.yes_rate_by_format.map((_, i) => String(i + 1));
  const judges = Object.entries(found.judges);
  const rate = judges.length ? judges.reduce((sum, [, votes]) => sum + (votes.yes_rate ?? 0), 0) / judges.length : null;
  return (
    <section class="panels">
      <article class="panel"><h2>How often each judge says yes</h2>
        <p class="lead">{found.voters} votes on each of {found.cells.toLocaleString("en")} pairs of a response and a category. A category counts as named from {found.threshold} votes.
          Judges that say yes at very different rates measure different things.</p>
        <div class="scroll" tabIndex={0} role="group" aria-label="Yes rates"><table>
          <thead><tr><th scope="col">judge</th><th scope="col">all formats</th>{formats.map((name) => <th scope="col" key={name}>{visible(name)}</th>)}</tr></thead>
          <tbody>{judges.map(([name, votes]) => (
            <tr key={name}><th scope="row">{visible(name)}</th><td>{share(votes.yes_rate)}</td>{votes.yes_rate_by_format.map((value, i) => <td key={i}>{share(value)}</td>)}</tr>
          ))}</tbody>
        </table></div>
      </article>
      <article class="panel"><h2>Agreement</h2>
        <p class="lead">Fleiss' kappa is agreement beyond chance: 1 is perfect, 0 is chance.{found.by_position && " By position, it shows whether the judges read late sentences as well as early ones."}</p>
        <div class="scroll" tabIndex={0} role="group" aria-label="Agreement"><table>
          <thead><tr><th scope="col">votes on</th><th scope="col">pairs</th><th scope="col">says yes</th><th scope="col">judges agree</th><th scope="col">Fleiss' kappa</th><th scope="col">undecided</th></tr></thead>
          <tbody>
            <Part name="everything" part={{ ...found, yes_rate: rate }} />
            {found.by_position?.parts.map((part, i) => <Part key={i} name={`first named in fifth ${i + 1}`} part={part} />)}
          </tbody>
        </table></div>
        {found.pairwise_agreement.length > 1 && <ul>{found.pairwise_agreement.map(({ judges: [a, b], agreement }) =>
          <li key={`${a} ${b}`}>{visible(a)} and {visible(b)}: {share(agreement)}</li>)}</ul>}
      </article>
    </section>
  );
}

function Part({ name, part }: { name: string; part: PartVotes }) {
  const known = part.pairwise_agreement.flatMap(({ agreement }) => agreement ?? []);
  return (
    <tr><th scope="row">{name}</th><td>{part.cells.toLocaleString("en")}</td><td>{share(part.yes_rate)}</td>
      <td>{known.length ? share(known.reduce((a, b) => a + b, 0) / known.length) : "–"}</td><td>{figure(part.fleiss_kappa)}</td><td>{share(part.ignored)}</td></tr>
  );
}
