// Texts of models and files, made safe to look at, and cut at the offsets of mentions.

import type { Edit, Mention, Verdict } from "./data";

// Control and invisible formatting characters (as benchmark/terminal/safe_text.py has them) would hide or turn text
// around. The joiner inside emoji stays.
const HARMFUL = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

export function visible(text: string): string {
  return text.replace(HARMFUL, (c) => {
    if (c === "\n" || c === "\u200d") return c;
    if (c === "\t") return " ";
    const code = c.codePointAt(0)!.toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : code.length <= 4 ? `\\u${code.padStart(4, "0")}`
      : `\\U${code.padStart(8, "0")}`;
  });
}

export interface Piece { text: string; mention?: Mention; edit?: Edit }

/** The response in pieces, each a mention, what the judge left out, or the text between two. Offsets count code points, as Python does. */
export function pieces(response: string, mentions: Mention[], edits: Edit[] = []): Piece[] {
  const source = Array.from(response);
  const found: Piece[] = [];
  let position = 0;
  const placed: { start: number; end: number; mention?: Mention; edit?: Edit }[] = [
    ...mentions.map((mention) => ({ start: mention.start, end: mention.end, mention })),
    ...edits.map((edit) => ({ start: edit.start, end: edit.end, edit })),
  ].filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start || b.end - a.end);
  for (const { start, end, mention, edit } of placed) {
    if (start < position || end > source.length) continue;
    if (start > position) found.push({ text: source.slice(position, start).join("") });
    found.push({ text: source.slice(start, end).join(""), mention, edit });
    position = end;
  }
  if (position < source.length) found.push({ text: source.slice(position).join("") });
  return found;
}

/** The mentions that the text cannot show: without a place, or behind another one. */
export function unplaced(response: string, mentions: Mention[], edits: Edit[] = []): Mention[] {
  const shown = new Set(pieces(response, mentions, edits).flatMap((piece) => piece.mention ?? []));
  return mentions.filter((mention) => !shown.has(mention));
}

export const VERDICTS: Record<Verdict, string> = {
  grounded: "in the picture",
  hallucinated: "not in the picture",
  ignored: "undecided",
};

export function share(value: number | null | undefined, digits = 1): string {
  return value == null ? "–" : `${(100 * value).toFixed(digits)}\u00a0%`;
}

export function figure(value: number | null | undefined): string {
  if (value == null) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 0.001 ? value.toFixed(3)
    : value.toExponential(1);
}

export function many(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
