// What the keyboard does. Keys may come faster than the page is rendered.

import { useLayoutEffect, useRef } from "preact/hooks";

/** Calls `press` with each key while `active`: of the last render, and from the moment its result is in the page. */
export function useKeys(active: boolean, press: (event: KeyboardEvent) => void): void {
  const latest = useRef(press);
  latest.current = press;
  useLayoutEffect(() => {
    if (!active) return;
    const listen = (event: KeyboardEvent) => latest.current(event);
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, [active]);
}

/** Returns a function that moves the choice along a list. Two steps before the next render move it twice. */
export function useStep(found: number[], chosen: number, choose: (i: number) => void): (by: number) => void {
  const latest = useRef(chosen);
  latest.current = chosen;
  return (by) => {
    const place = found.indexOf(latest.current);
    const next = found[place < 0 ? 0 : Math.min(found.length - 1, Math.max(0, place + by))];
    if (next === undefined) return;
    latest.current = next;
    choose(next);
  };
}

/** Whether a key is a shortcut: not of the browser, and not text for a field. */
export function isShortcut(event: KeyboardEvent): boolean {
  return !(event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).matches("input, select, textarea"));
}
