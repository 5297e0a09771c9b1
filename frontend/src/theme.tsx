// Light or dark: as the system has it, until the reader chooses.

import { useState } from "preact/hooks";

type Theme = "light" | "dark";
const KEY = "eidolon-theme";

function stored(): Theme | null {
  try {
    const found = localStorage.getItem(KEY);
    return found === "light" || found === "dark" ? found : null;
  } catch {
    return null; // Some browsers keep nothing for files on disk.
  }
}

const system = (): Theme => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

function set(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
}

export function initialTheme(): void {
  set(stored() ?? system());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => stored() ?? set(system()));
}

export function ThemeToggle() {
  const [theme, choose] = useState<Theme>((document.documentElement.dataset.theme as Theme) ?? "light");
  const other = theme === "light" ? "dark" : "light";
  const toggle = () => {
    set(other);
    choose(other);
    try {
      localStorage.setItem(KEY, other);
    } catch {
      // The choice then holds until the page is closed.
    }
  };
  return <button type="button" class="quiet" onClick={toggle}>{other === "dark" ? "Dark" : "Light"} theme</button>;
}
