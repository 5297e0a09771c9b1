import { useEffect, useRef, useState } from "preact/hooks";
import { hasTruth, type Details, type View } from "./data";
import { CategoryTable } from "./categories";
import { Compare } from "./compare";
import { Explore } from "./explore";
import { Help } from "./help";
import { Judges } from "./judges";
import { OverTheText } from "./positions";
import { ProbeTables } from "./probe";
import { readRoute, writeRoute, type Route } from "./route";
import { Top } from "./top";
import { visible } from "./text";

export interface Tab { name: string; label: string }

export function App({ view, details }: { view: View; details: Details }) {
  const [route, setRoute] = useState<Route>(readRoute);
  const [help, setHelp] = useState(false);
  const move = (changed: Partial<Route>) => setRoute((now) => {
    const next = { ...now, ...changed };
    writeRoute(next);
    return next;
  });
  useEffect(() => {
    const follow = () => setRoute(readRoute());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const number = view.runs[route.run] ? route.run : 0;
  const run = view.runs[number]!;
  const tabs: Tab[] = [
    { name: "", label: "Samples" },
    ...(run.probe ? [{ name: "answers", label: "Answers" }] : []),
    ...(run.by_category.length && !run.probe ? [{ name: "categories", label: "By category" }] : []),
    ...(run.probe || !hasTruth(run) ? [] : [{ name: "text", label: "Over the response" }]),
    ...(view.pairs.length ? [{ name: "compare", label: "Compare" }] : []),
    ...(run.calibration ? [{ name: "judges", label: "Judges" }] : []),
  ];
  const tab = tabs.some((one) => one.name === route.tab) ? route.tab : "";
  const showCategory = useRef<(category: string, verdict: string) => void>(() => {});
  const toCategory = (category: string, verdict: string) => {
    move({ tab: "" });
    showCategory.current(category, verdict);
  };
  return (
    <>
      <Top run={run} comparing={tab === "compare" ? view.runs.map((one) => one.name) : null} eidolon={view.eidolon} onHelp={() => setHelp(true)} />
      {view.runs.length > 1 && tab !== "compare" && (
        <p class="run-choice"><label for="run">Run</label>{" "}
          <select id="run" value={String(number)} onChange={(e) => move({ run: Number(e.currentTarget.value), sample: "", generation: 0 })}>
            {view.runs.map((one, i) => <option key={i} value={String(i)}>{visible(one.name)}</option>)}
          </select>
        </p>
      )}
      <TabList tabs={tabs} chosen={tab} choose={(name) => move({ tab: name })} />
      <main><div role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`}>
        <div hidden={tab !== ""}>
          <Explore key={number} run={run} number={number} view={view} details={details} route={route} move={move}
            active={tab === "" && !help} showCategory={showCategory} onHelp={() => setHelp(true)} />
        </div>
        {tab === "categories" && <CategoryTable run={run} show={toCategory} />}
        {tab === "text" && <OverTheText run={run} />}
        {tab === "answers" && <ProbeTables run={run} show={(i) => move({
          tab: "", sample: run.index.sample_ids[i]!, generation: run.index.generations[i]! })} />}
        {tab === "compare" && <Compare view={view} details={details} route={route} move={move} active={!help} />}
        {tab === "judges" && <Judges run={run} />}
      </div></main>
      <Help open={help} close={() => setHelp(false)} />
    </>
  );
}

export function TabList({ tabs, chosen, choose }: { tabs: Tab[]; chosen: string; choose: (name: string) => void }) {
  const step = (event: KeyboardEvent, i: number) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = tabs[(i + by + tabs.length) % tabs.length];
    if (!by || !next) return;
    choose(next.name);
    document.getElementById(`tab-${next.name}`)?.focus();
  };
  return (
    <div role="tablist" class="tabs" aria-label="Parts of the page">
      {tabs.map(({ name, label }, i) => (
        <button key={name} type="button" role="tab" id={`tab-${name}`} aria-controls="panel" aria-selected={name === chosen}
          tabIndex={name === chosen ? 0 : -1} onClick={() => choose(name)} onKeyDown={(e) => step(e, i)}>{label}</button>
      ))}
    </div>
  );
}
