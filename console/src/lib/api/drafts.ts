// Drafts of twins: the calls of Draft from a machine, and their words.

import { call, query } from "./client";
import type { components } from "./schema";
import type { Micros } from "./types";

type Schemas = components["schemas"];

export type DraftField = Schemas["DraftField"];
export type DraftView = Schemas["DraftView"];
export type DraftAnswer = Omit<Schemas["DraftAnswer"], "state"> & { state: "looking" | "fitting" | "done" };

export const drafts = {
  begin: (request: { machine: string; from: Micros | null; to: Micros | null; wait_s: number }) => call<DraftAnswer>("POST", "/twins/draft", request),
  get: (id: string, wait_s: number) => call<DraftAnswer>("GET", `/twins/draft/${encodeURIComponent(id)}` + query({ wait_s })),
};
