// The part of the address after `#`: which tab, which run and which sample. It makes links to a sample.

export interface Route { tab: string; run: number; sample: string; generation: number }

export function readRoute(): Route {
  const found = new URLSearchParams(location.hash.slice(1));
  return {
    tab: found.get("tab") ?? "",
    run: Number(found.get("run") ?? 0) || 0,
    sample: found.get("sample") ?? "",
    generation: Number(found.get("generation") ?? 0) || 0,
  };
}

export function routeText(route: Route): string {
  const found = new URLSearchParams();
  if (route.tab) found.set("tab", route.tab);
  if (route.run) found.set("run", String(route.run));
  if (route.sample) found.set("sample", route.sample);
  if (route.generation) found.set("generation", String(route.generation));
  return `#${found.toString()}`;
}

export function writeRoute(route: Route): void {
  history.replaceState(null, "", routeText(route));
}
