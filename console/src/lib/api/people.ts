// People, their sessions and tokens, and what was done: the calls of the pages People and Account.

import { call, query } from "./client";
import type { Micros } from "./types";

export const ROLES = ["viewer", "operator", "engineer", "administrator"] as const;
export type Role = (typeof ROLES)[number];

export interface Person {
  name: string;
  role: Role;
  /** `invited`: has a link and no password yet. */
  state: "invited" | "active" | "disabled";
  created: Micros;
  last_seen: Micros | null;
}

export interface Invitation {
  code: string;
  expires: Micros;
}

export interface OwnSession {
  id: string;
  created: Micros;
  expires: Micros;
  last_seen: Micros;
  address: string;
  agent: string;
  current: boolean;
}

export interface Token {
  id: string;
  name: string;
  rights: string[];
  created: Micros;
  expires: Micros;
  last_seen: Micros | null;
}

export interface AuditEntry {
  id: number;
  at: Micros;
  user: string;
  address: string;
  /** The operation's name in the API. */
  operation: string;
  subject: string;
  /** The HTTP status it ended with, and the code of a refusal. */
  status: number;
  code: string;
}

const one = (name: string): string => `/people/${encodeURIComponent(name)}`;

export const people = {
  list: () => call<{ people: Person[] }>("GET", "/people").then((r) => r.people),
  add: (name: string, role: Role) => call<Person>("POST", "/people", { name, role }),
  change: (name: string, change: { role?: Role; enabled?: boolean }) => call<Person>("PUT", one(name), change),
  remove: (name: string) => call<void>("DELETE", one(name)),
  invite: (name: string) => call<Invitation>("POST", `${one(name)}/invitation`),
  accept: (code: string, password: string) => call<void>("POST", "/invitation", { code, password }),
  setPassword: (old: string, password: string) => call<void>("PUT", "/session/password", { old, password }),
  sessions: () => call<{ sessions: OwnSession[] }>("GET", "/sessions").then((r) => r.sessions),
  endSession: (id: string) => call<void>("DELETE", `/sessions/${encodeURIComponent(id)}`),
  tokens: () => call<{ tokens: Token[] }>("GET", "/tokens").then((r) => r.tokens),
  addToken: (token: { name: string; rights: string[]; days: number }) => call<Token & { token: string }>("POST", "/tokens", token),
  revoke: (id: string) => call<void>("DELETE", `/tokens/${encodeURIComponent(id)}`),
  audit: ({ refused, before, ...params }: { user?: string; refused?: string; before?: number; limit?: number }) =>
    call<{ entries: AuditEntry[] }>(
      "GET",
      "/audit" + query({ ...params, ...(refused ? { kind: "audit.refused" } : {}), ...(before ? { to: before } : {}) }),
    ).then((r) => r.entries),
};
