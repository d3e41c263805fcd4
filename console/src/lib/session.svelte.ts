// Who is signed in, and what starts when somebody is.

import { api, ApiError, onUnauthorised } from "./api/client";
import type { Panel, Session, System } from "./api/types";
import { catalogue } from "./catalogue.svelte";
import { live, syncClock } from "./live.svelte";
import { prefs } from "./prefs.svelte";

type State = "asking" | "out" | "in" | "lost";

const state = $state<{ state: State; session: Session | null; system: System | null; panel: Panel | null }>({
  state: "asking",
  session: null,
  system: null,
  panel: null,
});
const rates: number[] = $state([]);

onUnauthorised(() => {
  live.stop();
  state.state = "out";
});

export const session = {
  get state(): State {
    return state.state;
  },
  get user(): string {
    return state.session?.user ?? "";
  },
  /** Whether the one who is signed in may do a thing ("kind.action"); the server decides again. */
  may(right: string): boolean {
    return state.session?.rights.includes(right) ?? false;
  },
  /** How others call the one who is signed in. */
  get displayName(): string {
    return state.session?.display_name ?? "";
  },
  /** The administrator at the platform's own machine has none. */
  get hasPassword(): boolean {
    return state.session?.has_password ?? false;
  },
  get role(): string {
    return state.session?.role ?? "";
  },
  get rights(): readonly string[] {
    return state.session?.rights ?? [];
  },
  get system(): System | null {
    return state.system;
  },
  /** Samples a second, one figure every two seconds, newest last. */
  get rates(): readonly number[] {
    return rates;
  },
  get panel(): Panel | null {
    return state.panel;
  },
  set panel(panel: Panel | null) {
    state.panel = panel;
  },
  async begin(): Promise<void> {
    try {
      state.session = await api.session();
    } catch (error) {
      state.state = error instanceof ApiError && error.status === 401 ? "out" : "lost";
      return;
    }
    try {
      await Promise.all([this.refresh(), catalogue.load(), this.readPanel()]);
    } catch {
      state.state = "lost";
      return;
    }
    state.state = "in";
    catalogue.follow();
    live.start();
  },
  async signIn(who: { code: string } | { name: string; password: string }): Promise<void> {
    await api.signIn(who);
    if ("name" in who) prefs.name = who.name;
    await this.begin();
  },
  async signOut(): Promise<void> {
    await api.signOut().catch(() => undefined);
    location.hash = "#/sign-in";
    location.reload();
  },
  async refresh(): Promise<void> {
    const asked = Date.now();
    const system = await api.system();
    syncClock(system.now, asked, Date.now());
    state.system = system;
    rates.push(system.samples_per_s);
    if (rates.length > 150) rates.shift();
  },
  async readPanel(): Promise<void> {
    state.panel = await api.panel().catch(() => null);
  },
};

/** Calls `act` now and every `ms` while the tab can be seen; returns how to stop. */
export function every(ms: number, act: () => Promise<unknown>): () => void {
  let stopped = false;
  const run = async (): Promise<void> => {
    if (!document.hidden) await act().catch(() => undefined);
    if (!stopped) setTimeout(() => void (stopped || run()), ms);
  };
  void run();
  return () => void (stopped = true);
}
