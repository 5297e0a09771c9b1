// The table of one group of comparable runs.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import {
  TEXTS, cell, choiceText, first, orderOf, partName, safeLink, sorted, textOf,
  type Cell, type Choice, type Column, type Group, type Order, type Row,
} from "./board-data";
import type { Interval } from "./data";
import { figure, many, visible } from "./text";

/** Rows that a table shows at first. */
const ROWS = 100;
const LONG = 20;
const BAR = 116, HEIGHT = 13;
const OPENS: Record<string, string> = { page: "the page of eidolon view", report: "report.html", folder: "the run folder" };
const SETTINGS = TEXTS.filter(([key]) => key !== "model");

interface Props { group: Group; rows: Row[]; choice: Choice; change: (changed: Partial<Choice>) => void }

export function BoardTable({ group, rows, choice, change }: Props) {
  const [every, setEvery] = useState(false);
  const [open, setOpen] = useState<Set<string>>(() => new Set(choice.run ? [choice.run] : []));
  useEffect(() => { if (choice.run) setOpen((now) => new Set([...now, choice.run])); }, [choice.run]);
  const order = orderOf(choice.sort, group);
  const ordered = useMemo(() => sorted(rows, order), [rows, order.key, order.up]);
  const whole = every || ordered.findIndex((row) => row.run === choice.run) >= ROWS;
  const shown = whole ? ordered : ordered.slice(0, ROWS);
  const toggle = (run: string) => setOpen((now) => {
    const next = new Set(now);
    if (!next.delete(run)) next.add(run);
    return next;
  });
  const sort = (key: string) => change({ sort: `${(key === order.key ? !order.up : first(key, group)) ? "+" : "-"}${key}` });
  const width = 2 + group.columns.length + SETTINGS.length;
  return (
    <>
      <div class={`scroll board${shown.length > LONG ? " long" : ""}`} tabIndex={0} role="group" aria-label={`Runs of ${visible(group.table.title)}`}>
        <table>
          <thead><tr>
            <Head name="model" order={order} sort={sort}>model</Head>
            <Head name="n" order={order} sort={sort}>n</Head>
            {group.columns.map((one) => (
              <Head key={one.key} name={one.key} order={order} sort={sort} axis={group.domains[one.key]}>
                {visible(one.label)}{one.higher_is_better != null && <><span aria-hidden="true">{one.higher_is_better ? " ↑" : " ↓"}</span>
                  <span class="unseen">, {one.higher_is_better ? "higher" : "lower"} is better</span></>}
              </Head>
            ))}
            {SETTINGS.map(([key, label]) => <Head key={key} name={key} order={order} sort={sort} note>{label}</Head>)}
          </tr></thead>
          <tbody>{shown.map((row) => {
            const isOpen = open.has(row.run);
            return [
              <tr key={row.run} class={row.run === choice.run ? "chosen" : ""}>
                <th scope="row"><span class="model">
                  <button type="button" class="unfold" aria-expanded={isOpen} aria-label={`Details of ${visible(row.name)}`} onClick={() => toggle(row.run)}><span aria-hidden="true">{isOpen ? "▾" : "▸"}</span></button>
                  <span><Name row={row} />{row.warnings.length > 0 && <> <span class="state">{many(row.warnings.length, "warning")}</span></>}</span></span></th>
                <td>{row.n.scored.toLocaleString("en")}{row.n.scored < row.n.requested && <>{" "}<span class="of">of {row.n.requested.toLocaleString("en")}</span></>}</td>
                {group.columns.map((one) => <Estimate key={one.key} found={cell(row, one.key)} column={one} axis={group.domains[one.key]} />)}
                {SETTINGS.map(([key]) => <td key={key} class={`note setting${key === "judge" || key === "decoding" ? " wide" : ""}`}>{key === "doctor" ? <Doctor row={row} /> : visible(short(textOf(row, key), key))}</td>)}
              </tr>,
              isOpen && <tr key={`${row.run} details`} class="details"><td colSpan={width}><Details row={row} group={group} /></td></tr>,
            ];
          })}</tbody>
        </table>
      </div>
      {shown.length < ordered.length && <button type="button" class="quiet" onClick={() => setEvery(true)}>Show the other {many(ordered.length - shown.length, "run")}</button>}
    </>
  );
}

interface HeadProps { name: string; order: Order; sort: (key: string) => void; axis?: Interval; note?: boolean; children: JSX.Element | string | (JSX.Element | string | false)[] }

function Head({ name, order, sort, axis, note, children }: HeadProps) {
  const chosen = name === order.key;
  return (
    <th scope="col" class={note ? "note" : axis ? "with-bar" : ""} aria-sort={chosen ? (order.up ? "ascending" : "descending") : "none"}>
      <button type="button" class="sort" onClick={() => sort(name)}>{children}<span class="direction" aria-hidden="true">{chosen ? (order.up ? "▲" : "▼") : ""}</span></button>
      {axis && <span class="axis" aria-hidden="true"><span>{end(axis[0])}</span><span>{end(axis[1])}</span></span>}
    </th>
  );
}

const end = (value: number) => String(Number(value.toPrecision(3)));

function Name({ row }: { row: Row }) {
  const link = safeLink(row);
  return link ? <a href={link} title={row.opens ? `Opens ${OPENS[row.opens]}` : undefined}>{visible(row.name)}</a> : <>{visible(row.name)}</>;
}

/** A number, its interval as a bar on the column's axis, and in words. */
function Estimate({ found, column, axis }: { found: Cell | undefined; column: Column; axis: Interval | undefined }) {
  if (found?.value == null) return <td class={axis ? "with-bar" : ""} title={found?.reason ? visible(found.reason) : undefined}>–</td>;
  const at = (value: number) => {
    const [low, high] = axis!, log = column.logarithmic && low > 0;
    const share = log ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low)) : (value - low) / (high - low);
    return 4 + (BAR - 8) * Math.min(1, Math.max(0, share));
  };
  return (
    <td class={axis ? "with-bar" : ""}>
      {visible(found.text)}{found.interval && <>{" "}<span class="interval">{visible(found.interval)}</span></>}
      {axis && (
        <svg width={BAR} height={HEIGHT} aria-hidden="true">
          <line class="base" x1="4" x2={BAR - 4} y1={HEIGHT / 2} y2={HEIGHT / 2} />
          {found.ci && <line class="band" x1={at(found.ci[0])} x2={at(found.ci[1])} y1={HEIGHT / 2} y2={HEIGHT / 2} />}
          <circle cx={at(found.value)} cy={HEIGHT / 2} r="3.5" />
        </svg>
      )}
    </td>
  );
}

function Doctor({ row }: { row: Row }) {
  return row.doctor === "failed" ? <><b class="state">failed</b> {visible(row.doctor_failed.join(", "))}</> : <>{row.doctor}</>;
}

/** A setting short enough for a table: datasets and prompts without their hashes, judges by name and what they were told. */
function short(text: string, key: string): string {
  if (key === "dataset") return text.replace(/#[0-9a-f]+$/, "");
  return key === "judge" ? text.replace("(", " (").replaceAll(",", ", ") : text.replaceAll(",", ", ");
}

function Details({ row, group }: { row: Row; group: Group }) {
  const link = safeLink(row);
  return (
    <div class="row-details">
      {row.warnings.length > 0 && <ul class="warnings" aria-label="Warnings">{row.warnings.map((text, i) => <li key={i}>{visible(text)}</li>)}</ul>}
      <dl class="facts">
        <div><dt>run</dt><dd>{visible(row.run)}{link && row.opens && <> (<a href={link}>{OPENS[row.opens]}</a>)</>}, <a href={choiceText({ run: row.run })}>link to this row</a></dd></div>
        <div><dt>responses</dt><dd>{row.n.scored.toLocaleString("en")} scored, {row.n.unscored.toLocaleString("en")} unscored, {row.n.requested.toLocaleString("en")} requested</dd></div>
        <div><dt>numbers</dt><dd>{group.columns.map(({ key }, i) => {
          const one = cell(row, key);
          return one && <span key={key}>{i > 0 && "; "}{key} {one.value == null ? "undefined" : figure(one.value)}{one.ci && `, ${figure(one.ci[0])} to ${figure(one.ci[1])}`}{one.reason && ` (${visible(one.reason)})`}</span>;
        })}</dd></div>
        {Object.entries(row.parts).map(([name, text]) => <div key={name}><dt>{partName(name)}</dt><dd>{visible(text)}</dd></div>)}
      </dl>
    </div>
  );
}
