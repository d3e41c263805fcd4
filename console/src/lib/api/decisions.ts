// Decisions: the calls of the page Decisions.

import { BASE, call, query } from "./client";
import type { Decisions, Loop, LoopChange, LoopCheck, LoopDraft, LoopMethod, LoopMode, LoopMoves, LoopProposal, LoopStop, LoopWhy } from "./types";

const loop = (id: string): string => `/decisions/loops/${encodeURIComponent(id)}`;
const proposal = (id: string): string => `/decisions/proposals/${encodeURIComponent(id)}`;
const move = (id: string): string => `/decisions/moves/${encodeURIComponent(id)}`;

export const decisions = {
  all: () => call<Decisions>("GET", "/decisions"),
  methods: () => call<{ methods: LoopMethod[] }>("GET", "/decisions/methods").then((r) => r.methods),
  /** Says whether a draft could run, and changes nothing. */
  check: (draft: LoopDraft, signal?: AbortSignal) => call<LoopCheck>("POST", "/decisions/check", draft, signal),
  add: (draft: LoopDraft) => call<Loop>("POST", "/decisions/loops", draft),
  change: (id: string, change: LoopChange) => call<Loop>("PUT", loop(id), change),
  remove: (id: string) => call<void>("DELETE", loop(id)),
  /** Brings every loop to shadow, at once. */
  stop: (reason = "") => call<LoopStop>("POST", "/decisions/stop", { reason }),
  /** `mode` is the one that was looked at: two who press at once move the loop one step, not two. */
  promote: (id: string, mode: LoopMode, reason: string) => call<Loop>("POST", `${loop(id)}/promote`, { mode, reason }),
  demote: (id: string, mode: LoopMode, reason: string) => call<Loop>("POST", `${loop(id)}/demote`, { mode, reason }),
  proposals: (id: string, limit: number) =>
    call<{ proposals: LoopProposal[] }>("GET", "/decisions/proposals" + query({ loop: id, limit })).then((r) => r.proposals),
  approve: (id: string) => call<LoopProposal>("POST", `${proposal(id)}/approve`, { reason: "" }),
  reject: (id: string, reason: string) => call<LoopProposal>("POST", `${proposal(id)}/reject`, { reason }),
  moves: (id: string, limit: number, after: string) => call<LoopMoves>("GET", "/decisions/moves" + query({ loop: id, limit, after })),
  why: (id: string) => call<LoopWhy>("GET", `${move(id)}/why`),
  whyFile: (id: string): string => `${BASE}${move(id)}/why/export`,
};
