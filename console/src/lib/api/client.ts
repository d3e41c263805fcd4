// The one place that talks to the server: JSON in and out, refusals as `ApiError` with the server's
// own words, mutating calls with the header that a foreign page cannot send.

import type {
  Browse, BrowseRequest, CertificateList, Columns, Extent, Fact, NewSource, Panel, Probe, Problem,
  Session, Signal, Source, SourceChange, System, Trend,
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

async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Lineshaft"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      headers,
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
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

function query(params: Record<string, string | number | readonly number[] | undefined>): string {
  const parts = Object.entries(params)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(",") : encodeURIComponent(String(value))}`);
  return parts.length ? `?${parts.join("&")}` : "";
}

export const api = {
  session: () => call<Session>("GET", "/session"),
  signIn: (code: string) => call<void>("POST", "/session", { code }),
  signOut: () => call<void>("DELETE", "/session"),
  system: () => call<System>("GET", "/system"),
  signals: () => call<{ signals: Signal[] }>("GET", "/signals").then((r) => r.signals),
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
