// Twins: the calls of the page Twins.

import { call, query } from "./client";
import type { Behaviour, FitAnswer, Micros, Twin, TwinDraft, WhatIfAnswer, WhatIfRequest } from "./types";

const one = (id: string): string => `/twins/${encodeURIComponent(id)}`;

export const twins = {
  list: () => call<{ twins: Twin[] }>("GET", "/twins").then((r) => r.twins),
  get: (id: string) => call<Twin>("GET", one(id)),
  behaviours: () => call<{ behaviours: Behaviour[] }>("GET", "/twins/behaviours").then((r) => r.behaviours),
  add: (draft: TwinDraft) => call<Twin>("POST", "/twins", draft),
  change: (id: string, draft: TwinDraft & { revision: number }) => call<Twin>("PUT", one(id), draft),
  remove: (id: string) => call<void>("DELETE", one(id)),
  fit: (id: string, request: { from: Micros; to: Micros; free: string[] | null; keep: boolean }) =>
    call<FitAnswer>("POST", `${one(id)}/fit`, request),
  teach: (id: string, from: Micros, to: Micros) => call<Twin>("POST", `${one(id)}/learn`, { from, to }),
  stateAt: (id: string, at: Micros) =>
    call<{ values: Record<string, number | null> }>("GET", `${one(id)}/state` + query({ at: Math.round(at) })).then((r) => r.values),
  whatif: (request: WhatIfRequest) => call<WhatIfAnswer>("POST", "/twins/whatif", request),
};
