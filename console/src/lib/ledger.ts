// Evidence of the ledger, checked in the browser: what a bundle says is computed again from its
// entries, and the signature from its key. The same rules as `verify.py`, in short; pure but for
// WebCrypto. A browser remembers the tree that it saw last, so that a rewritten log is noticed.

interface Item {
  index: number;
  leaf: string;
  entry: string | null;
  proof: string[];
}

interface Evidence {
  checkpoint: string;
  since: { size: number; root: string; proof: string[] } | null;
  keys: Item[];
  entries: Item[];
}

/** A tree as a browser remembers it. */
export interface Seen {
  size: number;
  root: string;
  at: number;
}

/** What does not hold: the words of an entry, its place, the signature, or the log as it was. */
export type Trouble = "form" | "words" | "place" | "signature" | "older" | "rewritten";

export interface Verdict {
  trouble: Trouble | null;
  /** The entry that does not hold. */
  where: number | null;
  seen: Seen;
  checked: number;
  withheld: number;
}

export class Broken extends Error {
  constructor(
    readonly trouble: Trouble,
    readonly where: number | null = null,
  ) {
    super(trouble);
  }
}

const text = new TextEncoder();

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((n, i) => n === b[i]);

async function hash(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const leafHash = (words: string): Promise<Uint8Array> => hash(Uint8Array.of(0), text.encode(words));
const nodeHash = (left: Uint8Array, right: Uint8Array): Promise<Uint8Array> => hash(Uint8Array.of(1), left, right);

/** Bits above 2^31 do not fit JavaScript's shifts: sizes are divided instead. */
const half = (n: number): number => Math.floor(n / 2);
const odd = (n: number): boolean => n % 2 === 1;

/** The root that a leaf gives with its audit path (RFC 9162, 2.1.3.2). */
export async function rootOf(index: number, size: number, leaf: Uint8Array, proof: Uint8Array[]): Promise<Uint8Array> {
  if (index < 0 || index >= size) throw new Broken("place", index);
  let place = index;
  let last = size - 1;
  let root = leaf;
  for (const sibling of proof) {
    if (last === 0) throw new Broken("place", index);
    if (odd(place) || place === last) {
      root = await nodeHash(sibling, root);
      while (place && !odd(place)) [place, last] = [half(place), half(last)];
    } else root = await nodeHash(root, sibling);
    [place, last] = [half(place), half(last)];
  }
  if (last) throw new Broken("place", index);
  return root;
}

/** Whether the tree of `second` begins with that of `first` (RFC 9162, 2.1.4.2). */
export async function isConsistent(first: number, second: number, old: Uint8Array, now: Uint8Array, proof: Uint8Array[]): Promise<boolean> {
  if (first < 1 || first > second) return false;
  if (first === second) return proof.length === 0 && same(old, now);
  const whole = Number.isInteger(Math.log2(first));
  const [start, ...rest] = whole ? [old, ...proof] : proof;
  if (!start) return false;
  let place = first - 1;
  let last = second - 1;
  while (odd(place)) [place, last] = [half(place), half(last)];
  let before = start;
  let after = start;
  for (const node of rest) {
    if (last === 0) return false;
    if (odd(place) || place === last) {
      [before, after] = [await nodeHash(node, before), await nodeHash(node, after)];
      while (place && !odd(place)) [place, last] = [half(place), half(last)];
    } else after = await nodeHash(after, node);
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && same(before, old) && same(after, now);
}

/** The evidence in a bundle: the first file of a zip archive that is stored, not packed. */
export function evidenceIn(raw: Uint8Array): Evidence {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  try {
    const start = 30 + view.getUint16(26, true) + view.getUint16(28, true);
    return JSON.parse(new TextDecoder().decode(raw.subarray(start, start + view.getUint32(18, true)))) as Evidence;
  } catch {
    throw new Broken("form");
  }
}

/** The public key in an entry of the ledger: NAME+ID+BASE64. */
function keyIn(item: Item): { name: string; raw: Uint8Array<ArrayBuffer> } {
  const { public: key } = JSON.parse(item.entry ?? "{}") as { public?: string };
  const [name, , encoded] = (key ?? "").split("+", 3);
  const rest = (key ?? "").split("+").slice(2).join("+");
  if (!name || !encoded) throw new Broken("signature", item.index);
  return { name, raw: bytesOf(rest).slice(1) };
}

async function checkSignature(note: string, item: Item): Promise<void> {
  const at = note.indexOf("\n\n");
  const signed = bytesOf(note.slice(at + 2).trim().split(" ")[2] ?? "").slice(4);
  const { name, raw } = keyIn(item);
  const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  const holds = await crypto.subtle.verify("Ed25519", key, signed, text.encode(note.slice(0, at + 1)));
  if (!holds || name !== note.split("\n")[0]) throw new Broken("signature");
}

async function checkItem(item: Item, size: number, root: Uint8Array): Promise<void> {
  const leaf = bytesOf(item.leaf);
  if (item.entry !== null && !same(await leafHash(item.entry), leaf)) throw new Broken("words", item.index);
  if (!same(await rootOf(item.index, size, leaf, item.proof.map(bytesOf)), root)) throw new Broken("place", item.index);
}

async function checkSeen(evidence: Evidence, known: Seen | null, now: Seen, root: Uint8Array): Promise<void> {
  if (!known) return;
  if (known.size > now.size) throw new Broken("older");
  const since = evidence.since ?? { size: now.size, root: now.root, proof: [] };
  const fits = since.size === known.size && since.root === known.root;
  if (!fits || !(await isConsistent(since.size, now.size, bytesOf(since.root), root, since.proof.map(bytesOf)))) throw new Broken("rewritten");
}

/** Checks a bundle, against the tree that was seen before where there was one. */
export async function verifyEvidence(raw: Uint8Array, known: Seen | null): Promise<Verdict> {
  const evidence = evidenceIn(raw);
  const [, size, root, time] = evidence.checkpoint.split("\n");
  const seen: Seen = { size: Number(size), root: root ?? "", at: Number(time?.split(" ")[1]) };
  const verdict: Verdict = { trouble: null, where: null, seen, checked: 0, withheld: 0 };
  try {
    const key = evidence.keys.at(-1);
    if (!key || !Number.isSafeInteger(seen.size)) throw new Broken("form");
    await checkSignature(evidence.checkpoint, key);
    const top = bytesOf(seen.root);
    for (const item of [...evidence.keys, ...evidence.entries]) await checkItem(item, seen.size, top);
    await checkSeen(evidence, known, seen, top);
    verdict.checked = evidence.entries.length;
    verdict.withheld = evidence.entries.filter((item) => item.entry === null).length;
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    [verdict.trouble, verdict.where] = [error.trouble, error.where];
  }
  return verdict;
}
