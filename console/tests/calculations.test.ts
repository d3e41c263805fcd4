import { expect, test } from "vitest";
import { pointAt } from "../src/lib/api/calculations";

test("the mark stands under the column of the mistake, also beyond the end", () => {
  expect(pointAt("1 + * 2", 5)).toBe("1 + * 2\n    ^");
  expect(pointAt("1 +", 4)).toBe("1 +\n   ^");
  const [shown, mark] = pointAt(`${"a".repeat(100)}#b`, 101).split("\n");
  expect(shown![mark!.indexOf("^")]).toBe("#");
});
