import { useEffect, useRef } from "preact/hooks";

const KEYS: [string, string][] = [
  ["j or ↓", "next sample"],
  ["k or ↑", "previous sample"],
  ["/", "search"],
  ["b", "show or hide all boxes"],
  ["c", "copy the sample as JSON"],
  ["Esc", "leave the search, close this"],
  ["?", "these keys"],
];

export function Help({ open, close }: { open: boolean; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open && !dialog.current!.open) dialog.current!.showModal();
    if (!open && dialog.current!.open) dialog.current!.close();
  }, [open]);
  return (
    <dialog ref={dialog} onClose={close} aria-label="Keys and marks">
      {open && <><h2>Keys and marks</h2>
      <table><tbody>{KEYS.map(([key, what]) => <tr key={key}><th scope="row"><kbd>{key}</kbd></th><td>{what}</td></tr>)}</tbody></table>
      <p><mark class="grounded">a solid line</mark>: named and in the picture.</p>
      <p><mark class="hallucinated">a wavy line</mark>: named and not in the picture.</p>
      <p><mark class="ignored">a dotted line</mark>: the judges disagree, so it does not count.</p>
      <p>The search finds responses with all of the words. Put a phrase in "quotes".</p>
      <button type="button" onClick={close}>Close</button></>}
    </dialog>
  );
}
