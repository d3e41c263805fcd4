// The words of the HTTP API. They come from `schema.d.ts`, which is made from the server's OpenAPI
// (`npm run types`); here they only get their short names, and texts that can take few values get
// those values. Times are integer microseconds UTC.

import type { components } from "./schema";

type Schemas = components["schemas"];
type Narrow<T, More> = Omit<T, keyof More> & More;

export type Micros = number;
export type Kind = "float" | "int" | "bool" | "string";
export type Task = "idle" | "starting" | "running" | "stopped";
export type Link = "disconnected" | "connecting" | "connected" | "refused";
export type Mode = "SignAndEncrypt" | "Sign" | "None";

export type Role = "viewer" | "operator" | "engineer" | "administrator";

export type Session = Schemas["Who"];
export type Person = Narrow<Schemas["Person"], { role: Role; state: "invited" | "active" | "disabled" }>;
export type NewPerson = Schemas["NewPerson"];
export type Invitation = Schemas["Invitation"];
export type Invited = Schemas["Invited"];
export type OwnSession = Schemas["SessionItem"];
export type Token = Schemas["TokenItem"];
export type TokenDraft = Schemas["TokenDraft"];
export type NewToken = Schemas["NewToken"];
export type AuditEntry = Schemas["AuditEntry"];
export type Calculation = Narrow<Schemas["CalculationView"], { state: "starting" | "running" | "waiting" | "wrong" | "disabled" }>;
export type CalculationDraft = Schemas["CalculationDraft"];
export type ExpressionCheck = Schemas["CheckAnswer"];
export type ExpressionPreview = Schemas["PreviewAnswer"];
export type ImportState = "checking" | "waiting" | "running" | "paused" | "done" | "failed";
export type ImportBrief = Narrow<Schemas["Brief"], { state: ImportState }>;
export type Imported = Narrow<Schemas["Imported"], { state: ImportState; summary: ImportSummary | null }>;
export type ImportForm = NonNullable<Schemas["Imported"]["form"]>;
export type ExportDraft = Schemas["ExportBody"];
export type Exported = Narrow<Schemas["Exported"], { state: "running" | "done" | "failed"; request: ExportRequest }>;
export type LogLine = Schemas["LogLine"];
export type RetentionRule = Schemas["RetentionRule"];
export type Process = Narrow<Schemas["ProcessState"], { state: "running" | "starting" | "restarting" | "failed" | "stopped" }>;
export type System = Narrow<Schemas["SystemView"], { processes: Process[] }>;
export type LimitName =
  | "connect" | "sync" | "bus" | "writer" | "cpu" | "memory" | "files" | "threads" | "stream" | "facts" | "signals";
export type Limit = Narrow<Schemas["LimitView"], { name: LimitName; unit: "samples" | "cores" | "bytes" | "count"; found: "probe" | "observed" | "system" | "settings" | "unknown" }>;
export type Limits = Narrow<Schemas["LimitsView"], { first: LimitName | null; limits: Limit[] }>;
export type Signal = Narrow<Schemas["SignalView"], { kind: Kind }>;
export type SignalChange = Partial<Schemas["SignalChange"]> & { revision: number };
export type SheetVerdict = Schemas["SheetVerdict"];
export type Note = Schemas["NoteView"];
export type NoteDraft = Schemas["NoteDraft"];
export type View = Schemas["SavedView"];
export type Certificate = Narrow<Schemas["CertificateView"], { uris?: string[]; reason?: string }>;
export type Source = Narrow<
  Schemas["SourceView"],
  { task: Task; link: Link; mode: Mode; certificate: Certificate | null }
>;
export type NewSource = Required<Schemas["SourceDraft"]>;
export type SourceChange = Schemas["SourceChange"];
export type Endpoint = Narrow<Schemas["EndpointView"], { mode: Mode }>;
export type Probe = Narrow<Schemas["ProbeAnswer"], { endpoints: Endpoint[]; certificate: Certificate | null }>;
export type BrowseNode = Narrow<Schemas["NodeView"], { kind: Kind }>;
export type Browse = Narrow<Schemas["BrowseAnswer"], { nodes: BrowseNode[] }>;
export type BrowseRequest = Omit<Required<Schemas["BrowseRequest"]>, "source"> & { source?: string };
export type CertificateList = Schemas["CertificateList"];
export type Figure = Schemas["FigureView"];
export type Behaviour = Schemas["BehaviourForm"];
export type TwinDraft = Schemas["TwinDraft"];
export type Twin = Narrow<Schemas["TwinView"], { state: "running" | "untaught" | "waiting" | "disabled"; method: TwinDraft["method"] }>;
export type FitAnswer = Narrow<Schemas["FitAnswer"], { twin: Twin }>;
export type WhatIfRequest = Partial<Schemas["WhatIfRequest"]> & Pick<Schemas["WhatIfRequest"], "twins" | "futures" | "horizon_s">;
export type WhatIfAnswer = Schemas["WhatIfAnswer"];
export type Columns = Schemas["SampleColumns"];
export type TrendSeries = Schemas["TrendSeries"];
export type Gap = Schemas["TrendGap"];
export type Trend = Schemas["Trend"];
export type Extent = Schemas["Extent"];
export type Fact = Schemas["FactBody"];

/** An event of the live stream: here `seq` is the event's own position, `stored` what is on disk. */
export interface LiveValues extends Omit<Columns, "seq"> {
  seq: number;
  stored: number;
}

/** The panel of a simulated plant; its form is the plant's own, so the schema leaves it open. */
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
  disturbances: { id: number; name: string; on: boolean }[];
}

/** What the check of a file has found; its form is open in the schema. */
export interface ImportSummary {
  rows: number;
  samples: number;
  first: Micros | null;
  last: Micros | null;
  problems: number;
  told: { line: number; text: string }[];
  head: { path: string; ts: Micros; v: number | null; s: string | null; q: number; unit: string }[];
  signals: number;
  new: number;
  listed: { path: string; kind: Kind; unit: string; sid: number; samples: number }[];
}

/** What an export was asked for, as it is kept. */
export interface ExportRequest {
  sids: number[];
  prefix: string;
  start: Micros | null;
  end: Micros | null;
  form: "csv" | "parquet" | "arrow" | "delta";
  layout: "long" | "wide";
  folder: boolean;
}

/** The body of every refusal. */
export interface Problem {
  code: string;
  message: string;
  hint: string;
}

export type LoopMode = "shadow" | "advisory" | "supervised" | "autonomous";
export type LoopMove = Narrow<Schemas["MoveView"], { ending: "" | "done" | "refused" | "failed" | "expired" }>;
export type LoopMoves = Narrow<Schemas["MoveList"], { moves: LoopMove[] }>;
export type ProposalState = "shadow" | "advice" | "waiting" | "approved" | "rejected" | "expired" | "superseded" | "running" | "done" | "held" | "frozen";
export type LoopProposal = Narrow<Schemas["ProposalView"], { state: ProposalState }>;
export type LoopHandle = Schemas["HandleNow"];
export type LoopLimit = Schemas["LimitNow"];
export type LoopFigures = Schemas["FiguresView"];
export type Loop = Narrow<Schemas["LoopView"], { mode: LoopMode; state: "disabled" | "waiting" | "running" | "frozen" | "failed"; waiting: LoopProposal | null }>;
export type LoopStop = Schemas["StopView"];
export type LoopDraft = Schemas["LoopDraft"];
export type LoopChange = Schemas["LoopChange"];
export type LoopCheck = Schemas["LoopCheck"];
export type LoopMethod = Schemas["MethodView"];
export type Decisions = Narrow<Schemas["DecisionsView"], { loops: Loop[] }>;
export type LoopWhy = Narrow<Schemas["WhyView"], { move: LoopMove; proposal: LoopProposal; mode: LoopMode }>;

export type Plan = Narrow<Schemas["ScheduleView"], { state: "proposed" | "running" | "over" }>;
export type PlanVersion = Schemas["VersionView"];
export type Gantt = Schemas["Gantt"];
export type ShopForm = Schemas["ShopForm"];
