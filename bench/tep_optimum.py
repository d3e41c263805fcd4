"""The settled Tennessee Eastman Process, solved, not simulated: what an optimiser could reach.

Of use to judge, never to run: the loop knows nothing of it. The unknowns are the 38 states of the
process and the nine valves that have controllers; the equations are the kernel's derivatives at
zero and the set-points met (Newton's method with central differences, moved on in small steps from
the base case). The best point is found by SLSQP over the solved plant within the limits.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize

from bench.tep import HANDLES, PARTS
from lineshaft.plants.tep.binding import load
from lineshaft.rooms.decide.engine.method import Floats

__all__ = ["Settled", "best"]

_FLOW = 22.949
_FIXED = ("compressor_recycle_valve", "stripper_steam_valve", "reactor_agitator_speed")
_UNIT = np.array([27.0, 1.2, 0.75, 0.5, 0.5, 0.5, 0.5, 0.23, 0.01])
_STRIDE = np.array([20, 1, 3, 5, 5, 2, 2, 1, 0.02, 5, 10, 10.0])
_PURGE = np.array([2.206, 0.0, 6.177, 22.06, 14.56, 17.89, 30.44, 22.94]) / 22.414
_POWER, _STEAM = 0.0536, 0.0318


class Settled:
    """The plant at rest; goes on from the last point that was solved."""

    def __init__(self) -> None:
        parts = load()
        schema = parts.schema
        self._kernel = parts.kernel()
        self._first: Floats = self._kernel.reset(seed=1.0, ms_flag=0x0F)
        self._measured = {n: i for i, n in enumerate(schema.names("measurements"))}
        self._monitor = {n: i for i, n in enumerate(schema.names("process_monitors"))}
        valves = list(schema.names("manipulated_variables"))
        self._fixed = [38 + valves.index(name) for name in _FIXED]
        self._free = [i for i in range(50) if i not in self._fixed]
        self._kernel.outputs(0.0, self._first)
        self._kernel.derivatives(0.0, self._first)
        self._snapshot = self._kernel.snapshot()
        self._state = self._first.copy()
        self._ratio = float(self._specified(self._outputs(self._first))[8])

    def _outputs(self, state: Floats) -> dict[str, Floats]:
        # The kernel keeps flows of its last call: each point starts from the same memory.
        self._kernel.restore(self._snapshot)
        self._kernel.set_inputs(state[38:50].copy(), np.zeros(28))
        found: dict[str, Floats] = self._kernel.outputs(0.0, state)
        return found

    def _specified(self, out: dict[str, Floats]) -> Floats:
        m, where = out["measurements"], self._measured
        monitors = out["process_monitors"]
        a, c = (monitors[self._monitor[f"delay_free_reactor_feed_{x}_concentration"]] for x in "AC")
        names = ("reactor_pressure", "reactor_temperature", "reactor_level", "separator_level",
                 "stripper_level")  # fmt: skip
        return np.array([*(m[where[n]] for n in names), 100 * a / (a + c), a + c,
                         m[where["stripper_underflow"]],
                         m[where["feed_D_flow"]] / m[where["feed_E_flow"]]])  # fmt: skip

    def _wrong(self, state: Floats, goal: Floats) -> Floats:
        out = self._outputs(state)
        rates = self._kernel.derivatives(0.0, state)[:38]
        size = np.maximum(np.abs(self._first[:38]), 1e-3)
        return np.concatenate([rates / size, (self._specified(out) - goal) / _UNIT])

    def at(self, u: Floats) -> dict[str, Floats]:
        """Return the kernel's outputs with the ten handles `u` settled; ValueError where none."""
        goal = np.concatenate([u[:7], [_FLOW, self._ratio], u[7:]])
        now = np.concatenate([self._specified(self._outputs(self._state)),
                              self._state[self._fixed]])  # fmt: skip
        steps = 1 + int(np.max(np.abs(goal - now) / _STRIDE))
        state = self._state.copy()
        for step in range(1, steps + 1):
            part = now + (goal - now) * step / steps
            state[self._fixed] = part[9:]
            state = self._newton(state, part[:9])
        self._state = state
        return self._outputs(state)

    def _newton(self, state: Floats, goal: Floats) -> Floats:
        size = np.maximum(np.abs(state[self._free]), 1e-3)
        for _ in range(12):
            wrong = self._wrong(state, goal)
            if np.abs(wrong).max() < 2e-5:
                return state
            slope = np.zeros((47, 47))
            for j, i in enumerate(self._free):
                up, down = state.copy(), state.copy()
                up[i] += 1e-4 * size[j]
                down[i] -= 1e-4 * size[j]
                slope[:, j] = (self._wrong(up, goal) - self._wrong(down, goal)) / 2e-4
            move = np.linalg.solve(slope, -wrong)
            state[self._free] += min(1.0, 0.2 / float(np.abs(move).max())) * move * size
        if np.abs(wrong).max() > 2e-3:
            raise ValueError("no point of rest found")
        return state

    def parts(self, u: Floats) -> Floats:
        """Return the cost at rest in $/h by `PARTS`."""
        out = self.at(u)
        m, where, monitors = out["measurements"], self._measured, out["process_monitors"]
        total = monitors[self._monitor["operating_cost_internal_per_hour"]]
        purged = np.array([monitors[self._monitor[f"delay_free_purge_{x}_concentration"]]
                           for x in "ABCDEFGH"]) / 100  # fmt: skip
        purge = m[where["purge_flow"]] * 1000 * float(purged @ _PURGE)
        power = m[where["compressor_work"]] * _POWER
        steam = m[where["stripper_steam_flow"]] * _STEAM
        found = np.array([purge, total - purge - power - steam, power, steam])
        assert len(found) == len(PARTS)
        return found

    def again(self) -> None:
        """Go back to the base case."""
        self._state = self._first.copy()


def best(weights: Floats, low: Floats, high: Floats, start: Floats) -> tuple[float, Floats]:
    """Return the least weighted cost within bounds of the handles (`HANDLES`), and where."""
    plant: Any = Settled()
    assert len(low) == len(HANDLES)

    def cost(x: Floats) -> float:
        try:
            return float(weights @ plant.parts(low + x * (high - low)))
        except (ValueError, RuntimeError, np.linalg.LinAlgError):
            plant.again()
            return 1e3 * float(weights.sum())

    first = np.clip((start - low) / (high - low), 0, 1)
    found = minimize(cost, first, method="SLSQP", bounds=[(0, 1)] * len(low),
                     options={"eps": 1e-3, "maxiter": 40, "ftol": 1e-4})  # fmt: skip
    return float(found.fun), low + found.x * (high - low)
