// The list of samples. Only the rows in sight are in the page, so that its length costs nothing.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { hasTruth, type Details, type Run } from "./data";
import { visible } from "./text";

const ROW = 68;
const BEYOND = 6;

interface Props {
  run: Run; number: number; details: Details; found: number[]; chosen: number; choose: (sample: number) => void;
}

export function List({ run, number, details, found, chosen, choose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => setHeight(box.current!.clientHeight));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const place = found.indexOf(chosen);
  // Other filters or another order: from the top. Another sample: into sight.
  const before = useRef(found);
  useEffect(() => {
    if (before.current !== found) box.current!.scrollTop = 0;
    before.current = found;
  }, [found]);
  useEffect(() => {
    const node = box.current!;
    if (place < 0) return;
    if (place * ROW < node.scrollTop) node.scrollTop = place * ROW;
    else if ((place + 1) * ROW > node.scrollTop + node.clientHeight) node.scrollTop = (place + 1) * ROW - node.clientHeight;
  }, [chosen]);
  const first = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const last = Math.min(found.length, Math.ceil((top + height) / ROW) + BEYOND);
  const shown = found.slice(first, last);
  if (place >= 0 && (place < first || place >= last)) shown.push(chosen); // what has the focus must be there
  return (
    <div class="list" ref={box} role="listbox" tabIndex={0} aria-label="Samples" onScroll={(e) => setTop(e.currentTarget.scrollTop)}
      aria-activedescendant={place >= 0 ? `sample-${chosen}` : undefined}>
      <div class="length" role="presentation" style={{ height: `${found.length * ROW}px` }}>
        {shown.map((i) => (
          <Row key={i} run={run} i={i} place={i === chosen ? place : found.indexOf(i, first)} count={found.length} chosen={i === chosen}
            picture={details.now(number, i)?.picture} choose={choose} />
        ))}
      </div>
    </div>
  );
}

interface RowProps {
  run: Run; i: number; place: number; count: number; chosen: boolean; picture: string | null | undefined;
  choose: (sample: number) => void;
}

function Row({ run, i, place, count, chosen, picture, choose }: RowProps) {
  const { sample_ids, generations, excerpts, states, absent, there, missed, words } = run.index;
  const state = states[i]!;
  const generation = generations[i] ? ` (${generations[i]! + 1})` : "";
  return (
    <div id={`sample-${i}`} role="option" class="row" aria-selected={chosen} aria-setsize={count} aria-posinset={place + 1}
      style={{ top: `${place * ROW}px` }} onClick={() => choose(i)}>
      {picture ? <img src={picture} alt="" loading="lazy" /> : <span class="no-picture" aria-hidden="true" />}
      <span class="row-text">
        <span class="row-id">{visible(sample_ids[i]!)}{generation}</span>
        <span class="row-excerpt">{visible(excerpts[i]!)}</span>
        <span class="row-counts">
          {state.includes("u") ? <b class="state">unscored</b> : run.probe ? <Answer absent={absent[i]!.length} missed={missed[i]!.length} unparsed={state.includes("p")} /> : (
            <>
              {hasTruth(run) && <>
                <span class={absent[i]!.length ? "count hallucinated" : "count"}>{absent[i]!.length} not there</span>
                <span class="count">{there[i]!.length} there</span>
                <span class="count">{missed[i]!.length} missed</span>
              </>}
              <span class="count">{words[i]} words</span>
            </>
          )}
        </span>
      </span>
    </div>
  );
}

function Answer({ absent, missed, unparsed }: { absent: number; missed: number; unparsed: boolean }) {
  const wrong = absent ? "wrong: says yes" : missed ? "wrong: says no" : "right";
  return (
    <>
      <span class={absent || missed ? "count hallucinated" : "count"}>{wrong}</span>
      {unparsed && <span class="count">not plainly yes or no</span>}
    </>
  );
}
