// The leaderboard: tables of comparable runs, with search, filters and an order that all tables follow.

import "./board.css";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { NONE, choiceText, makeGroups, part, partName, readChoice, select, type BoardView, type Choice, type Group, type Row } from "./board-data";
import { BoardTable } from "./board-table";
import { isShortcut, useKeys } from "./keys";
import { many, visible } from "./text";
import { ThemeToggle } from "./theme";

/** Groups that a page shows at first. */
const GROUPS = 25;

export function Board({ view }: { view: BoardView }) {
  const [choice, setChoice] = useState<Choice>(readChoice);
  const [every, setEvery] = useState(false);
  const change = (changed: Partial<Choice>) => setChoice((now) => {
    const next = { ...now, ...changed };
    history.replaceState(null, "", choiceText(next));
    return next;
  });
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const follow = () => setChoice(readChoice());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useKeys(true, (event) => press(event, search.current));
  const wide = choice.wide !== "";
  const groups = useMemo(() => makeGroups(view, wide), [view, wide]);
  const passed = useMemo(() => new Set(select(view.rows, choice)), [view, choice.q, choice.task, choice.dataset, choice.judge, choice.decoding, choice.doctor]);
  // A link leads to its run even where a filter hides it.
  const found = useMemo(() => groups.map((group) => ({ group, rows: group.all.filter((row) => passed.has(row) || row.run === choice.run) }))
    .filter(({ rows }) => rows.length), [groups, passed, choice.run]);
  const linked = found.findIndex(({ rows }) => rows.some((row) => row.run === choice.run));
  const shown = every || linked >= GROUPS ? found : found.slice(0, GROUPS);
  const filtered = passed.size < view.rows.length;
  useEffect(() => {
    if (choice.run) document.querySelector("tr.chosen")?.scrollIntoView({ block: "center" });
  }, []);
  return (
    <>
      <header>
        <div class="title"><h1>Leaderboard</h1><span class="tools"><ThemeToggle /></span></div>
        <p class="sentence">{many(view.rows.length, "run")} in {many(groups.length, "group")}. The runs of a group share {list((wide ? view.compared : view.strict).map(partName))},
          so their numbers can be compared. Dots are values, bars are 95 % intervals. Overlapping bars do not show that two runs are equal;{" "}
          <code>eidolon compare</code> tests the difference.</p>
      </header>
      <main>
        <FilterBar view={view} choice={choice} change={change} search={search} />
        <p class="found" role="status"><span>{many(passed.size, "run")} of {view.rows.length.toLocaleString("en")} in {many(found.length, "group")}</span>
          {filtered && <button type="button" class="quiet" onClick={() => change({ ...NONE, sort: choice.sort, wide: choice.wide })}>Show all</button>}
          <span class="keys"><kbd>/</kbd> search, <kbd>j</kbd> <kbd>k</kbd> next and previous run</span></p>
        {!found.length && <p class="reason">{view.rows.length ? "No run passes these filters." : "This leaderboard has no runs."}</p>}
        {shown.map(({ group, rows }) => <Section key={`${wide} ${group.id}`} group={group} rows={rows} choice={choice} change={change} />)}
        {shown.length < found.length && <button type="button" onClick={() => setEvery(true)}>Show the other {many(found.length - shown.length, "group")}</button>}
      </main>
      <footer class="dim">eidolon leaderboard {visible(view.eidolon)}</footer>
    </>
  );
}

function press(event: KeyboardEvent, search: HTMLInputElement | null) {
  const target = event.target as HTMLElement;
  if (!isShortcut(event)) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    search?.focus();
  }
  const by = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
  if (!by) return;
  const rows = [...document.querySelectorAll<HTMLElement>("button.unfold")];
  const here = rows.findIndex((row) => row.closest("tr")!.contains(target));
  rows[here < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, here + by))]?.focus();
}

function list(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

interface SectionProps { group: Group; rows: Row[]; choice: Choice; change: (changed: Partial<Choice>) => void }

function Section({ group, rows, choice, change }: SectionProps) {
  const hidden = group.all.length - rows.length;
  return (
    <section class="group" aria-label={visible(group.table.title)}>
      <h2>{visible(group.table.title)} <span class="dim">{many(rows.length, "run")}{hidden > 0 && ` of ${group.all.length.toLocaleString("en")}`}</span></h2>
      {group.special.length > 0 && (
        <ul class="special" aria-label="What sets this group apart">{group.special.map(([name, text]) => (
          <li key={name}><span class="dim">{partName(name)}</span> {visible(text)}</li>))}</ul>
      )}
      <details><summary>What these runs share</summary>
        <dl class="facts">{group.shared.map(([name, text]) => <div key={name}><dt>{partName(name)}</dt><dd>{visible(text)}</dd></div>)}</dl></details>
      <BoardTable group={group} rows={rows} choice={choice} change={change} />
    </section>
  );
}

interface BarProps { view: BoardView; choice: Choice; change: (changed: Partial<Choice>) => void; search: { current: HTMLInputElement | null } }

function FilterBar({ view, choice, change, search }: BarProps) {
  const options = useMemo(() => {
    const distinct = (of: (row: Row) => string) => [...new Set(view.rows.map(of))].filter(Boolean).sort();
    return {
      task: distinct((row) => row.task), dataset: distinct((row) => row.dataset), judge: distinct((row) => part(row, "judge")),
      decoding: distinct((row) => part(row, "decoding")), doctor: distinct((row) => row.doctor),
    };
  }, [view]);
  const filters = (Object.keys(options) as (keyof typeof options)[]).filter((name) => options[name].length > 1);
  return (
    <form class="filters board-filters" onSubmit={(e) => e.preventDefault()}>
      <label class="wide">Search
        <input ref={search} type="search" value={choice.q} placeholder='model, folder, warning, "a phrase"' onInput={(e) => change({ q: e.currentTarget.value, run: "" })} /></label>
      {filters.map((name) => (
        <div key={name}><label for={`filter-${name}`}>{name[0]!.toUpperCase() + name.slice(1)}</label>
          <select id={`filter-${name}`} value={choice[name]} onChange={(e) => change({ [name]: e.currentTarget.value, run: "" })}>
            <option value="">any</option>
            {options[name].map((text) => <option key={text} value={text}>{visible(text)}</option>)}
          </select></div>
      ))}
      {view.strict.length > view.compared.length && (
        <div><label for="grouping">Group runs that</label>
          <select id="grouping" value={choice.wide} onChange={(e) => change({ wide: e.currentTarget.value })}>
            <option value="">share every setting</option>
            <option value="1">may differ in {list(view.strict.filter((name) => !view.compared.includes(name)).map(partName))}</option>
          </select></div>
      )}
    </form>
  );
}
