// People, their sessions and tokens, and what was done: the calls of the pages People and Account.

import { call, query } from "./client";
import type { AuditEntry, Invitation, Invited, NewPerson, NewToken, OwnSession, Person, Role, Token, TokenDraft } from "./types";

export const ROLES: readonly Role[] = ["viewer", "operator", "engineer", "administrator"];

const one = (name: string): string => `/people/${encodeURIComponent(name)}`;

export const people = {
  list: () => call<{ people: Person[] }>("GET", "/people").then((r) => r.people),
  add: (person: { name: string; display_name: string; role: Role }) => call<NewPerson>("POST", "/people", person),
  change: (name: string, change: { role?: Role; enabled?: boolean; display_name?: string }) => call<Person>("PUT", one(name), change),
  remove: (name: string) => call<void>("DELETE", one(name)),
  invite: (name: string) => call<Invitation>("POST", `${one(name)}/invitation`),
  invited: (code: string) => call<Invited>("POST", "/invitation/look", { code }),
  accept: (code: string, password: string) => call<void>("POST", "/invitation", { code, password }),
  setPassword: (old: string, password: string) => call<void>("PUT", "/session/password", { old, password }),
  sessions: () => call<{ sessions: OwnSession[] }>("GET", "/sessions").then((r) => r.sessions),
  endSession: (id: string) => call<void>("DELETE", `/sessions/${encodeURIComponent(id)}`),
  tokens: () => call<{ tokens: Token[] }>("GET", "/tokens").then((r) => r.tokens),
  addToken: (token: TokenDraft) => call<NewToken>("POST", "/tokens", token),
  revoke: (id: string) => call<void>("DELETE", `/tokens/${encodeURIComponent(id)}`),
  audit: ({ refused, before, ...params }: { user?: string; refused?: string; before?: number; limit?: number }) =>
    call<{ entries: AuditEntry[] }>(
      "GET",
      "/audit" + query({ ...params, ...(refused ? { kind: "audit.refused" } : {}), ...(before ? { to: before } : {}) }),
    ).then((r) => r.entries),
};
