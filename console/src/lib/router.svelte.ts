// The address is the state: pages read `router.path` and `router.query`, and change them here only.

import { buildHash, parseHash, type Route } from "./url";

const state = $state<{ route: Route }>({ route: parseHash(location.hash) });

function sync(): void {
  state.route = parseHash(location.hash);
}

addEventListener("hashchange", sync);
addEventListener("popstate", sync);

type Query = Record<string, string | null | undefined>;

export const router = {
  get path(): string[] {
    return state.route.path;
  },
  get query(): Record<string, string> {
    return state.route.query;
  },
  go(path: readonly string[], query: Query = {}, replace = false): void {
    const hash = buildHash(path, query);
    if (hash === location.hash) return;
    history[replace ? "replaceState" : "pushState"](null, "", hash);
    sync();
  },
  /** Changes parts of the query and keeps the rest. */
  set(query: Query, replace = false): void {
    this.go(state.route.path, { ...state.route.query, ...query }, replace);
  },
  /** The address of this view with a value's drawer open. */
  withValue(sid: number | null): string {
    return buildHash(state.route.path, { ...state.route.query, v: sid === null ? null : String(sid) });
  },
};

export function href(path: readonly string[], query: Query = {}): string {
  return buildHash(path, query);
}
