import { useMemo, useState } from "preact/hooks";
import type { CategoryRow, Run } from "./data";
import { share, visible } from "./text";

type Column = "name" | "named_there" | "named_absent" | "missed" | "rate" | "recall";
const COLUMNS: [Column, string][] = [
  ["name", "object"], ["named_there", "named, there"], ["named_absent", "named, not there"], ["rate", "hallucinated"],
  ["missed", "missed"], ["recall", "found"],
];

function value(row: CategoryRow, column: Column): number | string | null {
  const { named_there: there, named_absent: absent, missed } = row;
  if (column === "rate") return there + absent ? absent / (there + absent) : null;
  if (column === "recall") return there + missed ? there / (there + missed) : null;
  return row[column];
}

/** The table of categories. A number leads to its samples. */
export function CategoryTable({ run, show }: { run: Run; show: (category: string, verdict: string) => void }) {
  const [{ column, up }, setOrder] = useState<{ column: Column; up: boolean }>({ column: "named_absent", up: false });
  const rows = useMemo(() => [...run.by_category].sort((a, b) => {
    const x = value(a, column), y = value(b, column);
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    const order = typeof x === "string" ? x.localeCompare(y as string) : (x as number) - (y as number);
    return (up ? order : -order) || a.name.localeCompare(b.name);
  }), [run, column, up]);
  const sort = (next: Column) => setOrder({ column: next, up: next === column ? !up : next === "name" });
  const most = Math.max(1, ...run.by_category.map((row) => row.named_absent));
  return (
    <section>
      <p class="lead">Each response counts once for an object. “Beside” is what is in the picture where the object is hallucinated, and how often it is there
        in other pictures without the object: a large difference means that the one calls up the other.</p>
      <div class="scroll" tabIndex={0} role="group" aria-label="Table by category"><table class="sortable">
        <thead><tr>
          {COLUMNS.map(([name, label]) => (
            <th key={name} scope="col" aria-sort={name === column ? (up ? "ascending" : "descending") : "none"}>
              <button type="button" class="sort" onClick={() => sort(name)}>{label}<span aria-hidden="true">{name === column ? (up ? " ▲" : " ▼") : ""}</span></button>
            </th>
          ))}
          <th scope="col" class="note">hallucinated beside</th>
        </tr></thead>
        <tbody>{rows.map((row) => (
          <tr key={row.name}>
            <th scope="row">{visible(row.name)}</th>
            <td><Link count={row.named_there} to={() => show(row.name, "grounded")} label={`named, there: ${row.name}`} /></td>
            <td class="bar"><svg class="bar-back" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width={100 * row.named_absent / most} height="10" /></svg>
              <Link count={row.named_absent} to={() => show(row.name, "hallucinated")} label={`named, not there: ${row.name}`} /></td>
            <td>{share(value(row, "rate") as number | null)}</td>
            <td><Link count={row.missed} to={() => show(row.name, "missed")} label={`missed: ${row.name}`} /></td>
            <td>{share(value(row, "recall") as number | null)}</td>
            <td class="note">{row.beside.map((one, i) => (
              <span key={one.name}>{i > 0 && ", "}{visible(one.name)} <span class="dim">{share(one.share, 0)} (else {share(one.elsewhere, 0)})</span></span>
            ))}</td>
          </tr>
        ))}</tbody>
      </table></div>
    </section>
  );
}

function Link({ count, to, label }: { count: number; to: () => void; label: string }) {
  return count ? <button type="button" class="link" onClick={to} aria-label={`${count} ${label}`}>{count}</button> : <>0</>;
}
