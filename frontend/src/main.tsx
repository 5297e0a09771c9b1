import "./style.css";
import { render } from "preact";
import { App } from "./app";
import { Board } from "./board";
import type { BoardView } from "./board-data";
import { Details, readDocument, type View } from "./data";
import { MemoryPage, type MemoryView } from "./memory";
import { initialTheme } from "./theme";

/** The page of each kind of document. */
const PAGES: Record<string, (data: never) => preact.JSX.Element> = {
  leaderboard: (view: BoardView) => <Board view={view} />,
  runs: (view: View) => <App view={view} details={new Details(view)} />,
  memory: (view: MemoryView) => <MemoryPage view={view} />,
};

const place = document.getElementById("app")!;
initialTheme();
try {
  const data = readDocument();
  const page = Object.hasOwn(PAGES, data.kind) ? PAGES[data.kind] : undefined;
  if (!page) throw new Error(`there is no page for data of the kind ${data.kind}`);
  place.replaceChildren();
  render(page(data as never), place);
} catch (error) {
  place.textContent = `This page cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
  throw error;
}
