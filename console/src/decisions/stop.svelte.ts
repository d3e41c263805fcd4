// The big stop, from the key and from the button: what it did last, or why it could not.

import { decisions } from "../lib/api/decisions";
import type { LoopStop } from "../lib/api/types";

class BigStop {
  stopped = $state.raw<LoopStop | null>(null);
  error = $state.raw<unknown>(null);

  async press(): Promise<void> {
    this.close();
    try {
      this.stopped = await decisions.stop();
    } catch (problem) {
      this.error = problem;
    }
  }

  close(): void {
    [this.stopped, this.error] = [null, null];
  }
}

export const bigStop = new BigStop();
