import { describe, expect, it } from "vitest";
import type { DraftField, DraftView } from "../src/lib/api/drafts";
import type { Signal } from "../src/lib/api/types";
import { begun, chosenTwin, keyOf, mustBe, partOf, sideOf, signalChanges, type Choices } from "../src/twins/drafts";

const field = (name: string, value: string | number, confidence: number): DraftField => ({ name, value, unit: "", confidence, why: "", reason: "name", figures: {} });
const draft = {
  confidence: 0.9,
  told: 0.9,
  twin: {
    name: "Oven", machine: "a/b/c/d/oven", behaviour: "thermal-mass", method: "unscented", inputs: { power: 1, surroundings: 2 }, outputs: { temperature: 3 },
    parameters: { heat_loss: { value: 20, sigma: 1, is_set: false }, sensor_lag: { value: 5, sigma: null, is_set: false } }, clock: 9, enabled: true,
  },
  fields: [
    field("name", "Oven", 0.2), field("class", "thermal-mass", 0.9), field("behaviour", "thermal-mass", 0.9), field("clock", 9, 0.95),
    field("inputs.power", 1, 0.9), field("inputs.surroundings", 2, 0.4), field("outputs.temperature", 3, 0.9),
    field("parameters.heat_loss", 20, 0.8), field("parameters.sensor_lag", 5, 0),
    field("signals.3.unit", "Cel", 0.7), field("signals.3.low", 0, 0.6), field("signals.3.high", 300, 0.6),
  ],
} as unknown as DraftView;

const changed = (more: Choices): Choices => ({ ...begun(draft), ...more });

describe("drafts", () => {
  it("reads the names of lines", () => {
    expect([partOf("inputs.power"), keyOf("inputs.power"), keyOf("signals.17.low"), sideOf("signals.17.low")]).toEqual(["inputs", "power", "17", "low"]);
    expect([mustBe("name"), mustBe("clock")]).toEqual([true, false]);
  });
  it("takes what is sure and what cannot be left", () => {
    const choices = begun(draft);
    expect(Object.keys(choices).filter((name) => !choices[name]!.taken)).toEqual(["inputs.surroundings", "parameters.sensor_lag"]);
  });
  it("makes a twin of what was taken", () => {
    const twin = chosenTwin(draft, begun(draft));
    expect(twin.inputs).toEqual({ power: 1 });
    expect(twin.parameters).toEqual({ heat_loss: { value: 20, sigma: 1, is_set: false } });
    expect([twin.clock, twin.behaviour]).toEqual([9, "thermal-mass"]);
  });
  it("counts a changed figure as set by a person and a left clock as none", () => {
    const twin = chosenTwin(draft, changed({ "parameters.heat_loss": { taken: true, value: 17.5 }, clock: { taken: false, value: null }, name: { taken: true, value: " Kiln " }, "outputs.temperature": { taken: true, value: 8 } }));
    expect(twin.parameters!.heat_loss).toEqual({ value: 17.5, sigma: null, is_set: true });
    expect([twin.clock, twin.name, twin.outputs]).toEqual([null, "Kiln", { temperature: 8 }]);
  });
  it("writes to signals only what is new and taken", () => {
    const signal = { sid: 3, revision: 4, unit: "Cel", low: null, high: null } as unknown as Signal;
    expect(signalChanges(draft, begun(draft), (sid) => (sid === 3 ? signal : undefined))).toEqual([{ sid: 3, change: { revision: 4, low: 0, high: 300 } }]);
    const none = changed({ "signals.3.low": { taken: false, value: null }, "signals.3.high": { taken: false, value: null } });
    expect(signalChanges(draft, none, () => signal)).toEqual([]);
  });
});
