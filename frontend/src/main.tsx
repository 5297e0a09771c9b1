import "./style.css";
import { render } from "preact";
import { App } from "./app";
import { Details, readView } from "./data";
import { initialTheme } from "./theme";

const place = document.getElementById("app")!;
initialTheme();
try {
  const view = readView();
  place.replaceChildren();
  render(<App view={view} details={new Details(view)} />, place);
} catch (error) {
  place.textContent = `This page cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
  throw error;
}
