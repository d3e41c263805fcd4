// The ledger: the calls of the panel Evidence.

import { BASE, call, query } from "./client";
import type { components } from "./schema";

export type Checkpoint = components["schemas"]["CheckpointView"];

/** Where a bundle is downloaded: of Facts, or of a range of entries. */
export function bundleOf(what: { fact?: string; from?: number; to?: number; since?: number }): string {
  return BASE + "/ledger/export" + query(what);
}

export const ledger = {
  checkpoint: () => call<Checkpoint>("GET", "/ledger/checkpoint"),
  bundle: async (what: Parameters<typeof bundleOf>[0]): Promise<Uint8Array> => {
    const answer = await fetch(bundleOf(what), { credentials: "same-origin" });
    if (!answer.ok) await call("GET", "/ledger/export" + query(what)); // throws what was refused
    return new Uint8Array(await answer.arrayBuffer());
  },
};
