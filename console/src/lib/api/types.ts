// The shapes of the HTTP API, in one place. Times are integer microseconds UTC. When
// `schema.d.ts` has been generated from the server's OpenAPI (`npm run types`), these names become
// aliases of its components and nothing else in the console changes.

export type Micros = number;

export interface Session {
  user: string;
  expires: Micros;
}

export interface Process {
  name: string;
  state: "running" | "starting" | "restarting" | "failed" | "stopped";
  pid: number | null;
  restarts: number;
  since: Micros;
  pss_mb: number | null;
}

export interface System {
  version: string;
  now: Micros;
  site: string;
  data_dir: string;
  demo: boolean;
  notices: string[];
  processes: Process[];
  stream: { last_seq: number; stored_seq: number; lag_rows: number; stored_rows: number; bytes: number };
  samples_per_s: number;
  disk: { free: number; used_by_history: number };
}

export type Kind = "float" | "int" | "bool" | "string";

export interface Signal {
  sid: number;
  path: string;
  name: string;
  kind: Kind;
  unit: string;
  /** What is odd about the unit; empty where nothing is. */
  unit_note?: string;
  low: number | null;
  high: number | null;
  limit_low: number | null;
  limit_high: number | null;
  period_ms: number | null;
  source: string;
  writable: boolean;
  decimals: number | null;
  description: string;
}

/** Samples as columns. `v` is null for a text or a bad value. */
export interface Columns {
  sid: number[];
  ts: Micros[];
  v: (number | null)[];
  s: (string | null)[];
  q: number[];
  seq?: number[];
}

/** An event of the live stream: here `seq` is the event's own position, `stored` what is on disk. */
export interface LiveValues extends Omit<Columns, "seq"> {
  seq: number;
  stored: number;
}

export interface TrendSeries {
  sid: number;
  ts: Micros[];
  v: (number | null)[];
  q: number[];
}

export interface Gap {
  source: string;
  from: Micros;
  to: Micros;
  cause: string;
}

export interface Trend {
  from: Micros;
  to: Micros;
  series: TrendSeries[];
  gaps: Gap[];
}

export interface Extent {
  first: Micros | null;
  last: Micros | null;
}

export interface Fact {
  id: string;
  kind: string;
  at: Micros;
  subject: string;
  body: Record<string, unknown>;
  cause: string | null;
}

export interface Certificate {
  thumbprint: string;
  subject: string;
  issuer: string;
  not_before: Micros;
  not_after: Micros;
  trusted: boolean;
  uris?: string[];
  reason?: string | null;
  state?: "trusted" | "quarantined";
}

export type Policy = "Basic256Sha256" | "None" | (string & {});
export type Mode = "SignAndEncrypt" | "Sign" | "None";
export type Task = "idle" | "starting" | "running" | "stopped";
export type Link = "disconnected" | "connecting" | "connected" | "refused";

export interface Source {
  id: string;
  name: string;
  protocol: string;
  endpoint: string;
  prefix: string;
  view: string;
  enabled: boolean;
  policy: Policy;
  mode: Mode;
  user: string;
  signals: number;
  plant_speed: number;
  task: Task;
  link: Link;
  since: Micros | null;
  rate: number;
  lag_ms: number | null;
  buffered: number;
  last_sample: Micros | null;
  last_error: { message: string; hint: string; at: Micros } | null;
  gaps_24h: { count: number; seconds: number };
  certificate: Certificate | null;
}

export interface NewSource {
  name: string;
  endpoint: string;
  prefix: string;
  policy: Policy;
  mode: Mode;
  /** Empty for nobody. */
  user: string;
  password: string;
  nodes: string[] | null;
}

export interface Endpoint {
  url: string;
  policy: Policy;
  mode: Mode;
  tokens: string[];
  level: number;
}

export interface Probe {
  endpoints: Endpoint[];
  certificate: Certificate | null;
}

export interface BrowseNode {
  node_id: string;
  path: string;
  name: string;
  kind: Kind;
  unit: string;
  low: number | null;
  high: number | null;
  writable: boolean;
  value: number | string | boolean | null;
  description: string;
}

export interface Browse {
  server: { name: string; [key: string]: unknown };
  nodes: BrowseNode[];
  truncated: boolean;
}

export interface Panel {
  plant: string;
  notice: string;
  plant_time_h: number;
  speed: number;
  /** Plant time over wall time, as really reached. */
  speed_reached?: number;
  speeds: number[];
  running: boolean;
  tripped: string | null;
  disturbances: { id: number | string; name: string; on: boolean }[];
}

/** The body of every refusal. */
export interface Problem {
  code: string;
  message: string;
  hint: string;
}
