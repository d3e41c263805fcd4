// The one place that talks to the server: JSON in and out, refusals as `ApiError` with the server's
// own words, mutating calls with the header that a foreign page cannot send.

import type {
  Browse, BrowseRequest, CertificateList, Columns, Extent, Fact, NewSource, Panel, Probe, Problem,
  Limits, LogLine, Note, NoteDraft, Session, RetentionRule, SheetVerdict, Signal, SignalChange, Source, SourceChange, System, Trend, View,
} from "./types";

export const BASE = "/api/v1";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

let unauthorised: () => void = () => {};

/** Says what to do when the session has ended. */
export function onUnauthorised(act: () => void): void {
  unauthorised = act;
}

export async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Lineshaft"] = "1";
  if (body !== undefined) headers["Content-Type"] = body instanceof Blob ? "text/csv" : "application/json";
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      headers,
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: body instanceof Blob ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "server.lost", "", "");
  }
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  if (answer.status === 401 && path !== "/session") unauthorised();
  const problem = (await answer.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiError(
    answer.status,
    problem.code ?? `http.${answer.status}`,
    problem.message ?? answer.statusText,
    problem.hint ?? "",
  );
}

export function query(params: Record<string, string | number | readonly number[] | undefined>): string {
  const parts = Object.entries(params)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(",") : encodeURIComponent(String(value))}`);
  return parts.length ? `?${parts.join("&")}` : "";
}

/** Columns of one length as objects. */
function rows<T>(columns: Record<keyof T, never[]>): T[] {
  const names = Object.keys(columns) as (keyof T)[];
  const lists = names.map((name) => columns[name]);
  return lists[0]!.map((_, i) => {
    const row = {} as T;
    for (let k = 0; k < names.length; k += 1) row[names[k]!] = lists[k]![i]!;
    return row;
  });
}

export const api = {
  session: () => call<Session>("GET", "/session"),
  signIn: (who: { code: string } | { name: string; password: string }) => call<void>("POST", "/session", who),
  signOut: () => call<void>("DELETE", "/session"),
  system: () => call<System>("GET", "/system"),
  signals: () =>
    call<{ signals: Record<keyof Signal, never[]> }>("GET", "/signals?format=columns").then((r) => rows<Signal>(r.signals)),
  /** The signals below a path, or the one with this path. */
  signalsAt: (prefix: string) => call<{ signals: Signal[] }>("GET", "/signals" + query({ prefix })).then((r) => r.signals),
  changeSignal: (sid: number, change: SignalChange) => call<Signal>("PUT", `/signals/${sid}`, change),
  /** Without a token it only says what the sheet would change. */
  importSignals: (sheet: Blob, token?: string) =>
    call<SheetVerdict>("POST", "/signals/import" + query(token ? { token } : { dry_run: "true" }), sheet),
  notes: (sid: number[], from: number, to: number, signal?: AbortSignal) =>
    call<{ notes: Note[] }>("GET", "/notes" + query({ sid, from: Math.round(from), to: Math.round(to) }), undefined, signal).then((r) => r.notes),
  addNote: (note: NoteDraft) => call<Note>("POST", "/notes", note),
  changeNote: (id: number, change: Partial<NoteDraft>) => call<Note>("PUT", `/notes/${id}`, change),
  removeNote: (id: number) => call<void>("DELETE", `/notes/${id}`),
  views: () => call<{ views: View[] }>("GET", "/views").then((r) => r.views),
  addView: (view: { name: string; url: string; shared: boolean }) => call<View>("POST", "/views", view),
  changeView: (id: number, change: Partial<Pick<View, "name" | "url" | "shared">>) => call<View>("PUT", `/views/${id}`, change),
  removeView: (id: number) => call<void>("DELETE", `/views/${id}`),
  last: (sid: number[]) => call<Columns>("GET", "/last" + query({ sid })),
  trend: (sid: number[], from: number, to: number, px: number, signal?: AbortSignal) =>
    call<Trend>(
      "GET",
      "/trend" + query({ sid, from: Math.round(from), to: Math.round(to), px: Math.round(px) }),
      undefined,
      signal,
    ),
  extent: (sid: number[]) => call<Extent>("GET", "/extent" + query({ sid })),
  facts: (params: { kind?: string; subject?: string; from?: number; to?: number; limit?: number }) =>
    call<{ facts: Fact[] }>("GET", "/facts" + query(params)).then((r) => r.facts),
  logs: (params: { process?: string; level?: string; lines?: number }) =>
    call<{ lines: LogLine[] }>("GET", "/logs" + query(params)).then((r) => r.lines),
  limits: () => call<Limits>("GET", "/system/limits"),
  measureLimits: () => call<Limits>("POST", "/system/limits"),
  retention: () => call<{ rules: RetentionRule[] }>("GET", "/retention").then((r) => r.rules),
  setRetention: (rules: RetentionRule[]) => call<{ rules: RetentionRule[] }>("PUT", "/retention", { rules }).then((r) => r.rules),
  sources: () => call<{ sources: Source[] }>("GET", "/sources").then((r) => r.sources),
  addSource: (source: NewSource) => call<Source>("POST", "/sources", source),
  changeSource: (id: string, change: SourceChange) =>
    call<Source>("PUT", `/sources/${encodeURIComponent(id)}`, change),
  removeSource: (id: string) => call<void>("DELETE", `/sources/${encodeURIComponent(id)}`),
  probe: (endpoint: string) => call<Probe>("POST", "/opcua/probe", { endpoint }),
  trust: (thumbprint: string) => call<void>("POST", "/opcua/trust", { thumbprint }),
  distrust: (thumbprint: string) => call<void>("POST", "/opcua/distrust", { thumbprint }),
  certificates: () => call<CertificateList>("GET", "/opcua/certificates"),
  browse: (request: BrowseRequest) => call<Browse>("POST", "/opcua/browse", request),
  panel: () => call<Panel>("GET", "/panel"),
  setPanel: (
    change: { speed: number } | { disturbance: { id: number; on: boolean } } | { restart: true },
  ) => call<Panel | undefined>("POST", "/panel", change),
};

/** The address of the samples themselves, for a download link. */
export function rawUrl(sid: number[], from: number, to: number, format: "csv" | "arrow"): string {
  return BASE + "/raw" + query({ sid, from: Math.round(from), to: Math.round(to), format });
}
