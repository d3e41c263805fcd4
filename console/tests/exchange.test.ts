import { expect, test } from "vitest";
import type { ImportForm } from "../src/lib/api/types";
import { exportLeft, fromLocal, importLeft, localText, withTime } from "../src/lib/exchange";

test("an import's time left follows from the samples that its rows give and their pace", () => {
  const one = { state: "running", note: "", rows: 1000, rows_total: 5000, samples: 8000, rate: 4000 } as const;
  expect(importLeft(one)).toBe(8);
  expect(importLeft({ ...one, rate: 0 })).toBeNull();
  expect(importLeft({ ...one, rows: 5000 })).toBeNull();
  expect(importLeft({ ...one, note: "the bus is full" })).toBeNull();
  expect(importLeft({ ...one, state: "paused" })).toBeNull();
});

test("an export's time left follows from its days", () => {
  const one = { state: "running", days: 40, days_done: 10, created: 1_000_000 } as const;
  expect(exportLeft(one, 11_000_000)).toBe(30);
  expect(exportLeft({ ...one, days_done: 0 }, 11_000_000)).toBeNull();
});

test("local times are those of the zone, on both sides of a change of the clocks", () => {
  for (const [text, zone, utc] of [
    ["2024-03-31T01:30", "Europe/Berlin", "2024-03-31T00:30Z"],
    ["2024-03-31T03:30", "Europe/Berlin", "2024-03-31T01:30Z"],
    ["2024-06-01T08:00", "Asia/Kolkata", "2024-06-01T02:30Z"],
    ["2024-06-01T08:00", "America/New_York", "2024-06-01T12:00Z"],
  ] as const) {
    expect(fromLocal(text, zone)).toBe(Date.parse(utc) * 1000);
    expect(localText(Date.parse(utc) * 1000, zone)).toBe(`${text.replace("T", " ")}:00`);
  }
  expect(fromLocal("2024-06-01", "UTC")).toBe(Date.parse("2024-06-01T00:00Z") * 1000);
  for (const text of ["", "yesterday", "2024-13-01", "01.06.2024 08:00"]) expect(fromLocal(text, "UTC")).toBeNull();
});

test("another time column takes the place of the one before, which is left out", () => {
  const column = (name: string, path: string) => ({ name, path, unit: "bar", kind: "float", use: true });
  const form = { time: { column: "a", format: "%d", zone: "UTC", fold: "refuse" }, columns: [column("b", "x/b"), column("c", "x/c")] } as unknown as ImportForm;
  const after = withTime(form, "b");
  expect(after.time).toEqual({ column: "b", format: "iso", zone: "UTC", fold: "refuse" });
  expect(after.columns).toEqual([{ name: "a", path: "x/b", unit: "", kind: "float", use: false }, form.columns[1]]);
});
