// The browser's own check of evidence, on a bundle that the platform made (tests/ledger/conftest.py):
// entries 2 to 8 of 9, one of them withheld, the key changed at entry 5, with the proof since 5.
import { expect, test } from "vitest";
import { bytesOf, evidenceIn, isConsistent, rootOf, verifyEvidence, type Seen, type Trouble } from "../src/lib/ledger";
import made from "./evidence.json";

type Made = typeof made;

/** The bundle as it is downloaded: a zip archive, its first file stored. */
function packed(evidence: unknown): Uint8Array {
  const content = new TextEncoder().encode(JSON.stringify(evidence));
  const raw = new Uint8Array(43 + content.length + 20);
  const view = new DataView(raw.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint32(18, content.length, true);
  view.setUint16(26, 13, true);
  raw.set(new TextEncoder().encode("evidence.json"), 30);
  raw.set(content, 43);
  return raw;
}

async function changed(change: (evidence: Made) => void, known: Seen | null = null): Promise<[Trouble | null, number | null]> {
  const evidence = structuredClone(made);
  change(evidence);
  const verdict = await verifyEvidence(packed(evidence), known);
  return [verdict.trouble, verdict.where];
}

const before: Seen = { size: 5, root: made.since.root, at: 1 };

test("what the platform made holds", async () => {
  const verdict = await verifyEvidence(packed(made), before);
  expect(verdict).toMatchObject({ trouble: null, where: null, checked: 7, withheld: 1 });
  expect(verdict.seen.size).toBe(9);
  expect(await verifyEvidence(packed(made), verdict.seen)).toMatchObject({ trouble: "rewritten" }); // it has another proof
  expect(await changed((e) => ((e as { since: unknown }).since = null), verdict.seen)).toEqual([null, null]);
});

test("a change is found, and where", async () => {
  const first = (e: Made): Made["entries"][number] => e.entries[0]!;
  expect(await changed((e) => (first(e).entry += " "))).toEqual(["words", 2]);
  expect(await changed((e) => (first(e).index = 3))).toEqual(["place", 3]);
  expect(await changed((e) => (first(e).leaf = e.entries[1]!.leaf))).toEqual(["words", 2]);
  expect(await changed((e) => first(e).proof.pop())).toEqual(["place", 2]);
  expect(await changed((e) => (e.entries[5]!.leaf = e.entries[1]!.leaf))).toEqual(["place", 7]);
  expect(await changed((e) => (e.checkpoint = e.checkpoint.replace("time 1", "time 2")))).toEqual(["signature", null]);
  expect(await changed((e) => e.keys.pop())).toEqual(["signature", null]);
  expect(await changed((e) => (e.keys = []))).toEqual(["form", null]);
});

test("a log that is not what was seen before is noticed", async () => {
  expect(await changed(() => {}, { ...before, size: 10 })).toEqual(["older", null]);
  expect(await changed(() => {}, { ...before, root: made.entries[0]!.leaf })).toEqual(["rewritten", null]);
  expect(await changed((e) => e.since.proof.pop(), before)).toEqual(["rewritten", null]);
  expect(await changed((e) => ((e as { since: unknown }).since = null), before)).toEqual(["rewritten", null]);
});

test("proofs of no tree are refused", async () => {
  const leaf = bytesOf(made.entries[0]!.leaf);
  await expect(rootOf(5, 5, leaf, [])).rejects.toThrow("place");
  await expect(rootOf(0, 1, leaf, [leaf])).rejects.toThrow("place");
  expect(await rootOf(0, 1, leaf, [])).toEqual(leaf);
  expect(await isConsistent(0, 5, leaf, leaf, [])).toBe(false);
  expect(await isConsistent(4, 5, leaf, leaf, [])).toBe(false);
  expect(await isConsistent(3, 3, leaf, leaf, [])).toBe(true);
  expect(() => evidenceIn(new Uint8Array(40))).toThrow("form");
});
