// Schedules: the calls of the page Schedules.

import { call, query } from "./client";
import type { Gantt, Plan, PlanVersion, ShopForm } from "./types";

const one = (id: string): string => `/schedules/${encodeURIComponent(id)}`;

export const schedules = {
  list: () => call<{ schedules: Plan[] }>("GET", "/schedules").then((r) => r.schedules),
  add: (shop: ShopForm) => call<Plan>("POST", "/schedules", shop),
  remove: (id: string) => call<void>("DELETE", one(id)),
  solve: (id: string, seconds: number, adopt: boolean) => call<Plan>("POST", `${one(id)}/solve`, { seconds, seed: 1, adopt }),
  stop: (id: string) => call<Plan>("POST", `${one(id)}/stop`),
  adopt: (id: string, revision: number) => call<Plan>("POST", `${one(id)}/adopt`, { revision }),
  breakdown: (id: string, machine: string, minutes: number) => call<Plan>("POST", `${one(id)}/breakdown`, { machine, minutes }),
  gantt: (id: string, which: "adopted" | "proposal") => call<Gantt>("GET", `${one(id)}/gantt` + query({ which })),
  versions: (id: string) => call<{ versions: PlanVersion[] }>("GET", `${one(id)}/versions`).then((r) => r.versions),
};
