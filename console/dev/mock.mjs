// A stand-in for the platform while the console is built: `npm run mock`, then `npm run dev`, or
// open the built console at the address it prints. Values are functions of time, so that any range of
// any trend can be answered. Nothing of this folder is shipped. Any sign-in code but "wrong" is
// taken. POST /dev/{cut|mend|hang|resume|alarm} plays a lost machine, a silent server, an excursion.

import { readFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const PORT = Number(process.env.PORT ?? 8401);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const STATIC = process.env.STATIC ?? join(ROOT, "src/lineshaft/web/static");
const BASE = {
  "feed/a-flow": 250.5, "feed/d-flow": 3664, "feed/e-flow": 4509, "feed/ac-flow": 9347,
  "compressor/recycle-flow": 26902, "reactor/feed-flow": 42339, "reactor/pressure": 2705,
  "reactor/level": 75, "reactor/temperature": 120.4, "purge/flow": 337.1,
  "separator/temperature": 80.1, "separator/level": 50, "separator/pressure": 2633.7,
  "separator/underflow": 25.16, "stripper/level": 50, "stripper/pressure": 3102.2,
  "product/flow": 22.949, "stripper/temperature": 65.73, "stripper/steam-flow": 230.31,
  "compressor/work": 341.43, "reactor/cooling-water-temperature": 94.6,
  "condenser/cooling-water-temperature": 77.3, "reactor/feed-a": 32.19, "reactor/feed-b": 8.89,
  "reactor/feed-c": 26.38, "reactor/feed-d": 6.88, "reactor/feed-e": 18.78, "reactor/feed-f": 1.66,
  "purge/composition-a": 32.96, "purge/composition-b": 13.82, "purge/composition-c": 23.98,
  "purge/composition-d": 1.26, "purge/composition-e": 18.58, "purge/composition-f": 2.26,
  "purge/composition-g": 4.84, "purge/composition-h": 2.3, "product/composition-d": 0.018,
  "product/composition-e": 0.836, "product/composition-f": 0.099, "product/composition-g": 53.72,
  "product/composition-h": 43.83, "feed/d-valve": 63.05, "feed/e-valve": 53.98,
  "feed/a-valve": 24.64, "feed/ac-valve": 61.3, "compressor/recycle-valve": 22.21,
  "purge/valve": 40.06, "separator/underflow-valve": 38.1, "product/valve": 46.53,
  "stripper/steam-valve": 47.45, "reactor/cooling-water-valve": 41.11,
  "condenser/cooling-water-valve": 18.11, "reactor/agitator": 50, "reactor/pressure-sp": 2705,
  "reactor/level-sp": 75, "reactor/temperature-sp": 120.4, "separator/level-sp": 50,
  "stripper/level-sp": 50, "product/flow-sp": 22.89, "product/g-sp": 53.72, "economics/cost": 170.6,
  "economics/cost-per-product": 0.81, "economics/cost-purge": 114.3, "economics/cost-product": 22.1,
  "economics/cost-compressor": 18.3, "economics/cost-steam": 7.3,
};
const WO = {
  "feed/a-flow": 1.8275, "feed/b-flow": 4.7836, "feed/temperature": 20, "reactor/temperature": 89.7,
  "reactor/level": 100, "jacket/temperature": 41.2, "jacket/coolant-flow": 17.3, "product/flow": 6.611,
  "product/fraction-a": 8.7, "product/fraction-b": 38.7, "product/fraction-c": 1.5,
  "product/fraction-e": 29.1, "product/fraction-g": 10.7, "product/fraction-p": 11.3,
  "economics/profit": 190.98,
};

function readSignals(path, source, prefix, firstSid, base) {
  const text = readFileSync(join(ROOT, path), "utf8");
  const out = [];
  for (const block of text.split("[[signal]]").slice(1)) {
    const field = (name) => new RegExp(`^${name} = (.+)$`, "m").exec(block)?.[1];
    const str = (name) => field(name)?.replace(/^"|"$/g, "") ?? "";
    const num = (name) => (field(name) === undefined ? null : Number(field(name)));
    const key = `${str("machine")}/${str("name")}`;
    const role = str("role");
    out.push({
      sid: firstSid + out.length, path: `${prefix}/${key}`,
      name: /en = "([^"]*)"/.exec(block)[1], kind: str("kind"), unit: str("unit"),
      low: num("low"), high: num("high"), limit_low: num("limit_low"), limit_high: num("limit_high"),
      period_ms: role === "measurement" || role === "manipulated" ? 1000 : null, source,
      writable: field("writable") === "true", decimals: num("decimals"),
      description: str("description"), _base: base[key], _role: role, _key: key,
    });
  }
  return out;
}

const tep = readSignals("src/lineshaft/plants/tep/signals.toml", "tep", "lineshaft/demo/chem/tep", 1, BASE);
const wo = readSignals("src/lineshaft/plants/williams_otto/signals.toml", "wo", "lineshaft/demo/chem/wo", 301, WO);
const press = ["press-1", "press-2", "press-3"].flatMap((machine, m) =>
  [["force", "kN", 0, 800, 120, 640, 410], ["stroke", "mm", 0, 400, null, null, 212], ["oil-temperature", "Cel", 0, 120, 30, 70, 52], ["cycles", "1", 0, null, null, null, 18210], ["motor-current", "A", 0, 90, 5, 65, 44]].map(
    ([name, unit, low, high, limit_low, limit_high, base], i) => ({
      sid: 501 + m * 5 + i, path: `lineshaft/demo/forge/line-2/${machine}/${name}`, name: `${name[0].toUpperCase()}${name.slice(1).replace("-", " ")}`,
      kind: "float", unit, low, high, limit_low, limit_high, period_ms: 1000, source: "press", writable: false,
      decimals: name === "cycles" ? 0 : 1, description: "", _base: base * (1 + m * 0.04), _role: "measurement", _key: `${machine}/${name}`,
    })));
let signals = [...tep, ...wo, ...press];
const bySid = () => new Map(signals.map((s) => [s.sid, s]));
const nowUs = () => Date.now() * 1000;
const BOOT = nowUs();
const FIRST = BOOT - 9 * 86400e6;
let alarm = false;
let hung = false;

const hash = (n) => {
  let x = Math.imul(n ^ (n >>> 16), 0x45d9f3b);
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  return ((x ^ (x >>> 16)) >>> 0) / 4294967296 - 0.5;
};

function valueOf(s, us) {
  const t = us / 1e6;
  if (s.kind === "string") return { v: null, s: s._key === "control/state" ? "local" : s._key === "plant/trip-cause" ? "" : "running" };
  if (s.kind === "bool") return { v: 0, s: null };
  if (s._key === "plant/counter" || s._key === "control/heartbeat") return { v: Math.floor((us - FIRST) / 1e6), s: null };
  if (s._key === "plant/clock") return { v: (us - FIRST) / 3600e6, s: null };
  if (s._key === "plant/speed") return { v: panel.speed, s: null };
  const span = (s.high ?? 100) - (s.low ?? 0) || 100;
  const base = s._base ?? (s._role === "margin" ? Math.max(0.3, (s.high ?? 1) * 0.4) : (s.low ?? 0) + span * 0.42);
  if (s._role === "setpoint" || s._role === "local") return { v: base, s: null };
  const k = s.sid * 7.13;
  const wave = Math.sin(t / (611 + 37 * (s.sid % 17)) + k) * 0.010 + Math.sin(t / (97 + (s.sid % 11)) + 2 * k) * 0.004;
  let v = base + (s._role === "margin" ? base : span) * (wave + hash(Math.floor(t * 2) * 131 + s.sid) * 0.004);
  if (alarm && s._key === "reactor/pressure") v += 215;
  if (alarm && s._key === "separator/level") v -= 24;
  return { v: s.low !== null ? Math.max(s.low, v) : v, s: null };
}
const qualityOf = (s) => (s._key === "compressor/work" && alarm ? 512 + 5 : s._key === "press-2/oil-temperature" ? 256 + 9 : s._key === "press-3/motor-current" ? 512 + 5 : 0);
const row = (s, us) => {
  const q = qualityOf(s);
  const { v, s: text } = valueOf(s, us);
  return { v: q >= 512 ? null : v === null ? null : Number(v.toFixed(s.decimals ?? 3)), s: text, q };
};

const cert = {
  thumbprint: "8f1c2a7755d0e6b3914c0d2f66a8be17f3029d5cc4417ab28e90f6d15b7a33c4",
  subject: "CN=lineshaft demo plant,O=Lineshaft,DC=plant", issuer: "CN=lineshaft demo plant,O=Lineshaft,DC=plant",
  not_before: BOOT - 86400e6, not_after: BOOT + 365 * 86400e6, trusted: true,
};
const source = (id, name, view, prefix, list, more = {}) => ({
  id, name, protocol: "opcua", endpoint: `opc.tcp://127.0.0.1:4840/${id}`, prefix, view, enabled: true,
  policy: "Basic256Sha256", mode: "SignAndEncrypt", user: "lineshaft", writes: true, signals: list.length, plant_speed: 60,
  task: "running", link: "connected", since: BOOT - 5.4 * 3600e6, rate: list.length * 0.94, lag_ms: 38, buffered: 0,
  last_sample: nowUs(), last_error: null, gaps_24h: { count: 0, seconds: 0 }, certificate: cert, ...more,
});
let sources = [
  source("tep", "Tennessee Eastman", "tep", "lineshaft/demo/chem/tep", tep, { gaps_24h: { count: 2, seconds: 214 } }),
  source("wo", "Williams-Otto", "williams-otto", "lineshaft/demo/chem/wo", wo, { plant_speed: 1 }),
  source("press", "Forge line 2", "", "lineshaft/demo/forge/line-2", press, {
    endpoint: "opc.tcp://10.20.4.17:4840", policy: "Basic256Sha256", mode: "Sign", plant_speed: 1, lag_ms: 112,
    certificate: { ...cert, thumbprint: cert.thumbprint.split("").reverse().join(""), subject: "CN=S7-1500 OPC UA,O=Forge", not_after: BOOT + 12 * 86400e6 },
  }),
  source("kiln", "Kiln gateway", "", "lineshaft/demo/ceramics/kiln", [], {
    endpoint: "opc.tcp://10.20.4.31:4840", signals: 240, task: "running", link: "connecting", rate: 0, lag_ms: null, buffered: 0,
    last_sample: nowUs() - 1860e6, since: nowUs() - 1860e6, gaps_24h: { count: 1, seconds: 1860 }, certificate: null,
    last_error: { message: "The server at opc.tcp://10.20.4.31:4840 does not answer", hint: "Check that it runs and that no firewall is in between; the next attempt follows in 30 s", at: nowUs() - 22e6 },
  }),
];
const publicSource = (s) => (s.link === "connected" ? { ...s, last_sample: nowUs() - 40_000, lag_ms: s.lag_ms + Math.round(hash(Date.now() >> 10) * 8) } : s);
const listSources = () => ({ sources: sources.map(publicSource) });

const panel = {
  plant: "tep",
  notice: "The Tennessee Eastman model was published for research and education. Read the notice of the plant package before any other use.",
  speed: 60, speeds: [1, 60, 1800], running: true, tripped: null,
  disturbances: [
    "A/C feed ratio, B composition constant (stream 4), step", "B composition, A/C ratio constant (stream 4), step",
    "D feed temperature (stream 2), step", "Reactor cooling water inlet temperature, step",
    "Condenser cooling water inlet temperature, step", "A feed loss (stream 1), step",
    "C header pressure loss (stream 4), step", "A, B, C feed composition (stream 4), random",
    "D feed temperature (stream 2), random", "C feed temperature (stream 4), random",
    "Reactor cooling water inlet temperature, random", "Condenser cooling water inlet temperature, random",
    "Reaction kinetics, slow drift", "Reactor cooling water valve, sticking", "Condenser cooling water valve, sticking",
    "Unknown 16", "Unknown 17", "Unknown 18", "Unknown 19", "Unknown 20",
  ].map((name, i) => ({ id: i + 1, name, on: i === 3 })),
};
const gaps = [
  { source: "tep", from: BOOT - 41 * 60e6, to: BOOT - 38.5 * 60e6, cause: "link: the server closed the connection" },
  { source: "tep", from: BOOT - 7.2 * 3600e6, to: BOOT - 7.17 * 3600e6, cause: "connect restarted" },
];
let factNo = 0;
const fact = (kind, at, subject, body = {}) => ({ id: `f${(factNo += 1)}`, kind, at, subject, body, cause: null });
const facts = [
  fact("source.added", BOOT - 5.6 * 3600e6, "press"), fact("certificate.trusted", BOOT - 5.6 * 3600e6, "press"),
  fact("link.connected", BOOT - 5.4 * 3600e6, "press"), fact("link.lost", gaps[0].from, "tep", { cause: gaps[0].cause }),
  fact("link.gap", gaps[0].to, "tep", { source: "tep", from: gaps[0].from, to: gaps[0].to, cause: gaps[0].cause }),
  fact("link.connected", gaps[0].to, "tep"), fact("link.lost", BOOT - 1860e6, "kiln", { cause: "time-out" }),
  fact("certificate.quarantined", BOOT - 1200e6, "kiln", { subject: "CN=kiln" }),
];
const certificates = [cert, sources[2].certificate, { ...cert, thumbprint: "17" + cert.thumbprint.slice(2), subject: "CN=kiln gateway,O=Ceramics", issuer: "CN=kiln gateway,O=Ceramics", trusted: false, reason: "nobody has trusted this certificate yet" }];
function judge(res, thumbprint, trust) {
  trusted = trust;
  const found = certificates.find((c) => c.thumbprint === thumbprint);
  if (found) found.trusted = trust;
  for (const s of sources.filter((x) => x.certificate?.thumbprint === thumbprint)) Object.assign(s, trust ? { link: "connected", last_error: null } : { link: "refused", rate: 0, last_sample: nowUs(), since: nowUs(), last_error: { code: "opcua.untrusted", message: "the server's certificate is not trusted", hint: "Compare its thumbprint and trust it", at: nowUs() } });
  res.writeHead(204).end();
  happened(fact(trust ? "certificate.trusted" : "certificate.quarantined", nowUs(), thumbprint));
}
const streams = new Set();
let seq = 1_284_000;
const stored = () => seq - 3;

function trend(sids, from, to, px) {
  const map = bySid();
  const series = sids.filter((sid) => map.has(sid)).map((sid) => {
    const s = map.get(sid);
    const end = Math.min(to, nowUs(), sources.find((x) => x.id === s.source)?.link === "connected" ? Infinity : nowUs() - 5e6);
    const begin = Math.max(from, FIRST);
    const step = Math.max(1e6, Math.ceil((end - begin) / (px * 3) / 1e6) * 1e6);
    const ts = [], v = [], q = [];
    const holes = gaps.filter((g) => g.source === s.source);
    for (let t = Math.ceil(begin / step) * step; t < end; t += step) {
      if (holes.some((g) => t > g.from && t < g.to)) continue;
      const bad = s._key === "compressor/work" && t % 7200e6 < 240e6;
      ts.push(t); q.push(bad ? 517 : 0); v.push(bad ? null : row(s, t).v);
    }
    return { sid, ts, v, q };
  });
  return { from, to, series, gaps: gaps.filter((g) => g.to > from && g.from < to) };
}

function last(sids) {
  const map = bySid();
  const out = { sid: [], ts: [], v: [], s: [], q: [], seq: [] };
  for (const sid of sids) {
    const s = map.get(sid);
    if (!s) continue;
    const src = sources.find((x) => x.id === s.source);
    const at = src.link === "connected" ? Math.floor(nowUs() / 1e6) * 1e6 : src.last_sample;
    const r = row(s, at);
    out.sid.push(sid); out.ts.push(at); out.v.push(r.v); out.s.push(r.s); out.q.push(r.q); out.seq.push(seq);
  }
  return out;
}

const browseNodes = () => [
  ...["extruder", "haul-off", "winder"].flatMap((machine, m) =>
    [["Speed", "1/min", "float", 0, 3000, 1480], ["Torque", "N.m", "float", 0, 900, 412.5], ["Zone temperatures/Zone 1", "Cel", "float", 0, 300, 184.2], ["Zone temperatures/Zone 2", "Cel", "float", 0, 300, 191.7], ["Running", "", "bool", null, null, true], ["Recipe", "", "string", null, null, "PE-100 / 63 mm"], ["Parts", "1", "int", 0, null, 48211]].map(
      ([name, unit, kind, low, high, value], i) => ({ node_id: `ns=2;s=${machine}.${name}`, path: `${machine}/${name.toLowerCase().replace(/ /g, "-")}`, name: name.split("/").pop(), kind, unit, low, high, writable: i === 0, followed: m < 2, value: typeof value === "number" ? value * (1 + m * 0.02) : value, description: "" }))),
];

const json = (res, body, status = 200) => {
  const text = JSON.stringify(body, (key, value) => (key.startsWith("_") ? undefined : value));
  res.writeHead(status, { "Content-Type": "application/json" }).end(text);
};
const refuse = (res, status, code, message, hint = "") => json(res, { code, message, hint }, status);
const body = async (req) => {
  let text = "";
  for await (const chunk of req) text += chunk;
  return text ? JSON.parse(text) : {};
};
const ids = (text) => (text ?? "").split(",").map(Number).filter(Boolean);

function broadcast(event, data, id) {
  const text = `${id ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
  for (const stream of streams) stream.res.write(text);
}
function happened(f) {
  facts.push(f);
  broadcast("fact", f);
  broadcast("sources", listSources());
}

setInterval(() => {
  if (hung) return;
  const map = bySid();
  for (const stream of streams) {
    stream.res.write(": beat\n\n");
    const live = stream.sids.filter((sid) => map.has(sid) && sources.find((x) => x.id === map.get(sid).source)?.link === "connected" && !["setpoint", "local", "state", "mode"].includes(map.get(sid)._role));
    if (live.length) {
      seq += 1;
      stream.res.write(`id: ${seq}\nevent: values\ndata: ${JSON.stringify({ seq, stored: stored(), ...last(live), seqs: undefined, ...{ seq } })}\n\n`);
    }
  }
  broadcast("sources", listSources());
}, 1000);

// People as the console needs them; `POST /dev/role?id=viewer` makes the visitor another one.
const reads = ["history", "signals", "sources", "certificates", "panel", "system", "notes", "views", "calculations", "imports", "exports"].map((kind) => `${kind}.read`);
const operator = [...reads, "notes.write", "views.write", "panel.write"];
const engineer = [...operator, ...["signals", "sources", "certificates", "calculations", "imports", "exports"].map((kind) => `${kind}.write`)];
const RIGHTS = { viewer: reads, operator, engineer, administrator: [...engineer, "people.read", "people.write", "tokens.read", "tokens.write", "audit.read", "history.admin", "system.admin", "backup.write", "system.write"] };
let me = "administrator";
let folk = [
  { name: "ada", display_name: "Ada Byron", role: "administrator", state: "active", created: BOOT - 40 * 86400e6, last_seen: BOOT },
  { name: "li.wei", display_name: "李伟", role: "engineer", state: "active", created: BOOT - 12 * 86400e6, last_seen: BOOT - 3600e6 },
  { name: "shift-2", display_name: "Shift 2", role: "operator", state: "disabled", created: BOOT - 12 * 86400e6, last_seen: BOOT - 9 * 86400e6 },
];
let retention = [{ prefix: "", raw_days: 365, rollup_days: null }];
let tokens = [{ id: "t1", name: "notebook", rights: reads, created: BOOT - 5 * 86400e6, expires: BOOT + 85 * 86400e6, last_seen: BOOT - 600e6 }];
const audit = ["add_source", "trust_certificate", "change_signal", "sign_in", "remove_source"].map((operation, i) => ({ id: 90 - i, at: BOOT - i * 1900e6, user: i === 3 ? "" : i % 2 ? "li.wei" : "ada", address: "10.20.4.9", operation, subject: ["press", "8f1c2a77", "lineshaft/demo/chem/tep/reactor/pressure", "root", "kiln"][i], status: i === 3 ? 401 : i === 4 ? 403 : 204, code: i === 3 ? "session.login" : i === 4 ? "right.missing" : "" }));
function somebody(req, res, name, rest, b) {
  const p = folk.find((x) => x.name === name);
  if (!p) return refuse(res, 404, "people.unknown", "There is nobody of this name");
  if (rest === "/invitation") return json(res, { code: "Jx0c7dQe-9aVtq3mN2", link: "http://127.0.0.1:8090/#/invite/Jx0c7dQe-9aVtq3mN2", expires: nowUs() + 3 * 86400e6 }, 201);
  if (req.method === "DELETE") { folk = folk.filter((x) => x !== p); return res.writeHead(204).end(); }
  if (b.role) p.role = b.role;
  if (b.enabled !== undefined) p.state = b.enabled ? "active" : "disabled";
  return json(res, p);
}

const routes = {
  "GET /retention": (req, res) => json(res, { rules: retention }),
  "PUT /retention": async (req, res) => { retention = (await body(req)).rules; json(res, { rules: retention }); },
  "GET /logs": (req, res, url) => json(res, { lines: ["bus", "history", "web"].filter((p) => !url.searchParams.get("process") || p === url.searchParams.get("process")).map((process, i) => ({ time: BOOT - i * 60e6, level: i === 1 ? "warning" : "info", process, event: ["ready", "file.compacted", "call"][i], fields: { ms: 12 + i } })) }),
  "GET /people": (req, res) => (me === "administrator" ? json(res, { people: folk }) : refuse(res, 403, "right.missing", "Your role may not do this", "Ask an administrator")),
  "POST /people": async (req, res) => { const b = await body(req); const p = { ...b, display_name: b.display_name || b.name, state: "invited", created: nowUs(), last_seen: null, invited_until: nowUs() + 7 * 86400e6 }; folk.push(p); json(res, { ...p, link: "http://127.0.0.1:8090/#/invite/Jx0c7dQe-9aVtq3mN2" }, 201); },
  "POST /invitation/look": async (req, res) => ((await body(req)).code === "gone" ? refuse(res, 401, "invitation.gone", "This invitation has been used or is too old", "Ask for a new one") : json(res, { name: "li.wei", display_name: "李伟", language: null })),
  "POST /invitation": async (req, res) => ((await body(req)).password.length < 12 ? refuse(res, 422, "password.short", "The password has fewer than 12 characters", "Take a few words that do not belong together") : res.writeHead(204, { "Set-Cookie": "ls=1; Path=/; HttpOnly; SameSite=Strict" }).end()),
  "PUT /session/password": (req, res) => res.writeHead(204).end(),
  "GET /sessions": (req, res) => json(res, { sessions: [{ id: "s1", created: BOOT, expires: BOOT + 30 * 86400e6, last_seen: nowUs(), address: "127.0.0.1", agent: req.headers["user-agent"] ?? "", current: true }, { id: "s2", created: BOOT - 86400e6, expires: BOOT + 29 * 86400e6, last_seen: BOOT - 7200e6, address: "10.20.4.9", agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", current: false }] }),
  "GET /tokens": (req, res) => json(res, { tokens }),
  "POST /tokens": async (req, res) => { const b = await body(req); const made = { id: `t${Date.now()}`, name: b.name, rights: b.rights, created: nowUs(), expires: nowUs() + b.days * 86400e6, last_seen: null }; tokens = [...tokens, made]; json(res, { ...made, token: "lst_5Qm2Zs8Kc1Xv7Tn4Rb9Yd3Wf6Hg0Jp" }, 201); },
  "GET /audit": (req, res, url) => json(res, { entries: audit.filter((e) => (!url.searchParams.get("kind") || e.status >= 400) && (!url.searchParams.get("user") || e.user === url.searchParams.get("user"))) }),
  "GET /session": (req, res) => (/ls=1/.test(req.headers.cookie ?? "") ? json(res, { user: "ada", display_name: "Ada Byron", has_password: true, language: null, by: "session", role: me, rights: RIGHTS[me], expires: nowUs() + 8 * 3600e6 }) : refuse(res, 401, "session.none", "Not signed in", "Print a new link with: lineshaft link")),
  "POST /session": async (req, res) => {
    const b = await body(req);
    if (b.code === "wrong") return refuse(res, 401, "session.code", "This link has been used or is too old", "Print a new one with: lineshaft link");
    if (b.name && b.password.length < 12) return refuse(res, 401, "session.login", "This name and password do not belong together", "After some wrong ones the wait grows");
    res.writeHead(204, { "Set-Cookie": "ls=1; Path=/; HttpOnly; SameSite=Strict" }).end();
  },
  "DELETE /session": (req, res) => res.writeHead(204, { "Set-Cookie": "ls=; Path=/; Max-Age=0" }).end(),
  "GET /system": (req, res) => json(res, {
    version: "0.1.0", now: nowUs(), site: "demo", data_dir: "/home/ada/.local/share/lineshaft", demo: true, notices: [panel.notice],
    processes: ["bus", "plant", "connect", "history", "web"].map((name, i) => ({ name, state: "running", pid: 4100 + i, restarts: name === "connect" ? 1 : 0, since: BOOT - 5.4 * 3600e6, pss_mb: [24, 88, 96, 141, 118][i] })),
    stream: { last_seq: seq, stored_seq: stored(), lag_rows: 120 + Math.round(hash(Date.now() >> 9) * 60), stored_rows: 118_204_530 + Math.floor((nowUs() - BOOT) / 1e6) * 148, bytes: 18_400_000 },
    samples_per_s: 148 + hash(Date.now() >> 10) * 9, disk: { free: 212e9, used_by_history: 1.94e9 },
  }),
  "GET /signals": (req, res, url) => {
    const listed = signals.map((s) => ({ revision: 1, declared: {}, ...s }));
    if (url.searchParams.get("format") !== "columns") return json(res, { signals: listed });
    return json(res, { signals: Object.fromEntries(Object.keys(listed[0]).map((name) => [name, listed.map((s) => s[name])])) });
  },
  "GET /notes": (req, res) => json(res, { notes: [] }),
  "GET /views": (req, res) => json(res, { views: [] }),
  "GET /last": (req, res, url) => json(res, last(ids(url.searchParams.get("sid")))),
  "GET /trend": (req, res, url) => json(res, trend(ids(url.searchParams.get("sid")), Number(url.searchParams.get("from")), Number(url.searchParams.get("to")), Number(url.searchParams.get("px")) || 1000)),
  "GET /raw": (req, res) => res.writeHead(200, { "Content-Type": "text/csv", "Content-Disposition": "attachment; filename=raw.csv" }).end("time,path,value,text,quality,unit\n"),
  "GET /extent": (req, res) => json(res, { first: FIRST, last: nowUs() }),
  "GET /facts": (req, res, url) => json(res, { facts: facts.filter((f) => !url.searchParams.get("subject") || f.subject === url.searchParams.get("subject")).sort((a, b) => b.at - a.at).slice(0, Number(url.searchParams.get("limit") ?? 100)) }),
  "GET /sources": (req, res) => json(res, listSources()),
  "POST /sources": async (req, res) => {
    const b = await body(req);
    if (!/^[a-z0-9_-]+(\/[a-z0-9_-]+){3}$/.test(b.prefix)) return refuse(res, 422, "path.levels", `the path '${b.prefix}' has ${b.prefix.split("/").length} levels`, "Write it as enterprise/site/area/line");
    const id = b.name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
    const nodes = browseNodes().filter((n) => !b.nodes || b.nodes.includes(n.node_id));
    const first = 1000 + signals.length;
    const added = nodes.map((n, i) => ({ sid: first + i, path: `${b.prefix}/${n.path}`, name: n.name, kind: n.kind, unit: n.unit, low: n.low, high: n.high, limit_low: null, limit_high: null, period_ms: n.kind === "float" ? 1000 : null, source: id, writable: n.writable, decimals: n.kind === "float" ? 1 : null, description: "", _base: typeof n.value === "number" ? n.value : 0, _role: n.kind === "float" ? "measurement" : "state", _key: n.path }));
    const made = source(id, b.name, "", b.prefix, added, { endpoint: b.endpoint, policy: b.policy, mode: b.mode, user: b.user, plant_speed: 1, task: "starting", link: "connecting", rate: 0, since: nowUs() });
    signals = [...signals, ...added];
    sources = [...sources, made];
    json(res, made, 201);
    happened(fact("source.added", nowUs(), id));
    setTimeout(() => { Object.assign(made, { task: "running", link: "connected", rate: added.length, since: nowUs() }); happened(fact("link.connected", nowUs(), id)); }, 1500);
  },
  "POST /opcua/probe": async (req, res) => {
    const { endpoint } = await body(req);
    await new Promise((r) => setTimeout(r, 600));
    if (!/^opc\.tcp:\/\/[^/:]+/.test(endpoint)) return refuse(res, 422, "endpoint.form", `'${endpoint}' is not an OPC UA address`, "Write it as opc.tcp://host:4840");
    if (/nobody/.test(endpoint)) return refuse(res, 502, "endpoint.silent", `Nothing answers at ${endpoint}`, "Check the host, the port and any firewall in between");
    json(res, {
      endpoints: [["Basic256Sha256", "SignAndEncrypt", ["username"], 3], ["Basic256Sha256", "Sign", ["username"], 2], ["None", "None", ["anonymous", "username"], 0]].map(([policy, mode, tokens, level]) => ({ url: endpoint, policy, mode, tokens, level })),
      certificate: { ...cert, subject: "CN=Extrusion line 4,O=Plastworks,DC=opc-gw-04", issuer: "CN=Extrusion line 4,O=Plastworks,DC=opc-gw-04", thumbprint: "3ab90f66d1c4427be8a1907f5d30ce2281bb64f0097ce1da5582f310946eab7d", uris: ["urn:opc-gw-04:plastworks:server"], trusted: trusted, reason: trusted ? null : "self-signed and not in the trust list" },
    });
  },
  "POST /opcua/trust": async (req, res) => judge(res, (await body(req)).thumbprint, true),
  "POST /opcua/distrust": async (req, res) => judge(res, (await body(req)).thumbprint, false),
  "GET /opcua/certificates": (req, res) => json(res, { certificates: certificates.map((c) => ({ ...c, state: c.trusted ? "trusted" : "quarantined" })), own: { ...cert, subject: "CN=Lineshaft,O=Lineshaft", issuer: "CN=Lineshaft,O=Lineshaft", thumbprint: "c0ffee" + cert.thumbprint.slice(6), not_after: BOOT + 7300 * 86400e6, uris: ["urn:lineshaft:4a51e6b2-9d0f-4c37-8a36-0f1c2d3e4b5a"] } }),
  "POST /opcua/browse": async (req, res) => {
    const b = await body(req);
    await new Promise((r) => setTimeout(r, 500));
    if (b.password === "wrong") return refuse(res, 403, "opcua.login", "The server refused user and password", "Check them with the person who runs the server");
    json(res, { server: { name: "Extrusion line 4", product: "OPC Gateway 3.2" }, nodes: browseNodes(), truncated: false });
  },
  "GET /panel": (req, res) => json(res, { ...panel, plant_time_h: (nowUs() - BOOT) / 3600e6 * panel.speed + 52.4 }),
  "POST /panel": async (req, res) => {
    const b = await body(req);
    if (b.speed) panel.speed = b.speed;
    if (b.disturbance) panel.disturbances.find((d) => d.id === b.disturbance.id).on = b.disturbance.on;
    if (b.restart) { panel.tripped = null; panel.running = true; }
    json(res, { ...panel, plant_time_h: (nowUs() - BOOT) / 3600e6 * panel.speed + 52.4 });
  },
};
let trusted = false;

function cut(id) {
  const s = sources.find((x) => x.id === id);
  Object.assign(s, { link: "disconnected", last_sample: nowUs(), since: nowUs(), rate: 0, last_error: { message: "The connection was reset by the server", hint: "It is tried again every few seconds", at: nowUs() } });
  happened(fact("link.lost", nowUs(), id, { cause: "reset" }));
}
function mend(id) {
  const s = sources.find((x) => x.id === id);
  const gap = { source: id, from: s.last_sample, to: nowUs(), cause: "link: the connection was reset by the server" };
  gaps.push(gap);
  Object.assign(s, { link: "connected", since: nowUs(), rate: 100, last_error: null, gaps_24h: { count: s.gaps_24h.count + 1, seconds: s.gaps_24h.seconds + (gap.to - gap.from) / 1e6 } });
  happened(fact("link.gap", nowUs(), id, gap));
}
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };

const server = createServer(async (req, res) => {
  const url = new URL(req.url, "http://x");
  if (url.pathname.startsWith("/dev/")) {
    const what = url.pathname.slice(5);
    if (what === "cut") cut(url.searchParams.get("id") ?? "tep");
    if (what === "mend") mend(url.searchParams.get("id") ?? "tep");
    if (what === "hang") hung = true;
    if (what === "resume") hung = false;
    if (what === "role") me = url.searchParams.get("id") ?? "administrator";
    if (what === "alarm") alarm = !alarm;
    if (what === "trip") { panel.tripped = "Reactor pressure above 3,000 kPa"; panel.running = false; }
    return res.writeHead(204).end();
  }
  if (!url.pathname.startsWith("/api/v1")) {
    const path = join(STATIC, normalize(url.pathname === "/" ? "/index.html" : url.pathname));
    if (!path.startsWith(STATIC) || !existsSync(path)) return res.writeHead(404).end();
    return res.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" }).end(readFileSync(path));
  }
  const path = url.pathname.slice("/api/v1".length);
  if (path !== "/session" && !path.startsWith("/invitation") && !/ls=1/.test(req.headers.cookie ?? "")) return refuse(res, 401, "session.none", "Not signed in");
  if (req.method !== "GET" && req.headers["x-lineshaft"] !== "1") return refuse(res, 403, "csrf", "The header X-Lineshaft is missing");
  if (path === "/live") {
    const stream = { res, sids: ids(url.searchParams.get("sid")) };
    res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    streams.add(stream);
    res.on("close", () => streams.delete(stream));
    res.write(`event: sources\ndata: ${JSON.stringify(listSources())}\n\nid: ${seq}\nevent: values\ndata: ${JSON.stringify({ stored: stored(), ...last(stream.sids), ...{ seq } })}\n\n`);
    return;
  }
  const person = /^\/people\/([^/]+)(\/invitation)?$/.exec(path);
  if (person) return somebody(req, res, decodeURIComponent(person[1]), person[2], await body(req));
  if (req.method === "DELETE" && path.startsWith("/tokens/")) { tokens = tokens.filter((x) => `/tokens/${x.id}` !== path); return res.writeHead(204).end(); }
  if (req.method === "DELETE" && path.startsWith("/sessions/")) return res.writeHead(204).end();
  const one = /^\/sources\/([^/]+)$/.exec(path);
  if (one) {
    const s = sources.find((x) => x.id === one[1]);
    if (!s) return refuse(res, 404, "source.unknown", "There is no such source");
    if (req.method === "DELETE") { sources = sources.filter((x) => x !== s); res.writeHead(204).end(); return happened(fact("source.removed", nowUs(), s.id)); }
    const b = await body(req);
    if (b.enabled === undefined) {
      for (const key of ["name", "endpoint", "user"]) if (b[key] !== undefined) s[key] = b[key];
      if ("nodes" in b) s.signals = b.nodes?.length ?? browseNodes().length;
      json(res, s);
      return happened(fact("source.changed", nowUs(), s.id));
    }
    if (b.enabled !== undefined) Object.assign(s, b.enabled ? { enabled: true, task: "running", link: "connected", since: nowUs() } : { enabled: false, task: "stopped", link: "disconnected", since: nowUs(), rate: 0, last_sample: nowUs() });
    json(res, s);
    return happened(fact(b.enabled ? "task.started" : "task.stopped", nowUs(), s.id));
  }
  const route = routes[`${req.method} ${path}`];
  return route ? route(req, res, url) : refuse(res, 404, "http.404", `No such address: ${path}`);
});
server.listen(PORT, "127.0.0.1", () => console.log(`mock of the platform at 127.0.0.1:${server.address().port}`));
