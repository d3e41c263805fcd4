"""Kalman filters for whole fleets: one compiled kernel, events in, estimates out.

Rules: an event is one sample of one port of one twin, sorted by time within a twin, inputs before
outputs. Between samples an input is held; where it acts late, it waits in a ring. A twin's state is
always finite and its covariance positive definite: what would break that starts the twin anew and
is counted. Outputs are taken one after the other, which is exact for independent sensor errors.

Sources: R. E. Kalman, Trans. ASME J. Basic Eng. 82 (1960); S. J. Julier, J. K. Uhlmann, Proc. IEEE
92 (2004) 401, with κ = max(0, 3 - n), whose weights are never negative (for n >= 3 the cubature
rule: I. Arasaratnam, S. Haykin, IEEE Trans. Autom. Control 54 (2009) 1254).
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import float64, int64, njit, types

from lineshaft.rooms.twins.engine.compiled import (
    A1,
    A2,
    A3,
    ADVANCE,
    I1,
    MEASURE,
    kernel,
)

__all__ = [
    "BAD_VALUE", "BELIEVED", "ESTIMATED", "INPUT", "KALMAN", "LATE", "OPEN", "RESTARTED", "RING",
    "UNSCENTED", "Fleet", "run_filters",
]  # fmt: skip

OPEN: Final = 0
KALMAN: Final = 1
UNSCENTED: Final = 2

INPUT: Final = 0
ESTIMATED: Final = 1
RESTARTED: Final = 2
BAD_VALUE: Final = 3
LATE: Final = 4

RING: Final = 64
#: So many samples in a row that lie before a twin's time are its clock set back, not stragglers.
BELIEVED: Final = 100
_STEPS: Final = 1000
_SEGMENTS: Final = 4 * RING
_HUGE: Final = 1e120
_SLACK_US: Final = 50_000
I2: Final = types.Array(int64, 2, "C")
I3: Final = types.Array(int64, 3, "C")
_COMPILE: Final[dict[str, Any]] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_COMPILE)
def _factor(p: Any, scale: float, root: Any) -> bool:
    """Write the lower Cholesky factor of scale·p; False where p is not positive definite."""
    n = p.shape[0]
    for a in range(n):
        for b in range(a):
            s = scale * p[a, b]
            for c in range(b):
                s -= root[a, c] * root[b, c]
            root[a, b] = s / root[b, b]
        s = scale * p[a, a]
        for c in range(a):
            s -= root[a, c] * root[a, c]
        if not s > 0.0:
            return False
        root[a, a] = math.sqrt(s)
    return True


@njit(**_COMPILE)
def _root_of(p: Any, scale: float, floor: Any, root: Any) -> None:
    """Write a Cholesky factor of scale·p; a matrix that rounding has spoilt keeps its variances,
    none below a billionth of what it started with, and loses its correlations."""
    if _factor(p, scale, root):
        return
    n = p.shape[0]
    for a in range(n):
        v = p[a, a]
        least = 1e-18 * floor[a] * floor[a]
        if not (least < v < _HUGE):
            v = least if v <= least else floor[a] * floor[a]
        for b in range(n):
            p[a, b] = 0.0
            root[a, b] = 0.0
        p[a, a] = v
        root[a, a] = math.sqrt(scale * v)


@njit(**_COMPILE)
def _schedule(
    t: int, until: int, u: Any, ring_t: Any, ring_v: Any, ring_n: Any, seg_dt: Any, seg_u: Any
) -> int:
    """Write the stretches of constant input between two times; inputs that came into force leave
    the ring, and `u` is left as it holds at the end. Return how many stretches there are."""
    m = u.shape[0]
    count = 0
    while t < until:
        stop, first = until, -1
        for j in range(m):
            if ring_n[j] > 0 and ring_t[j, 0] < stop:
                stop, first = ring_t[j, 0], j
        if stop > t and count < seg_dt.shape[0]:
            seg_dt[count] = (stop - t) * 1e-6
            for j in range(m):
                seg_u[count, j] = u[j]
            count += 1
            t = stop
        if first >= 0:
            u[first] = ring_v[first, 0]
            ring_n[first] -= 1
            for k in range(ring_n[first]):
                ring_t[first, k] = ring_t[first, k + 1]
                ring_v[first, k] = ring_v[first, k + 1]
        elif stop == until:
            break
    return count


@njit(**_COMPILE)
def _flow(
    advance: Any, x: Any, p: Any, longest: float, seg_dt: Any, seg_u: Any, count: int, out: Any,
    swap: Any,
) -> None:  # fmt: skip
    """Write the states after all stretches, in steps of `longest` at most."""
    n = x.shape[0]
    for a in range(n):
        out[a] = x[a]
    for s in range(count):
        steps = 1
        if seg_dt[s] > longest:
            steps = math.ceil(seg_dt[s] / longest)
        dt = seg_dt[s] / steps
        for _ in range(steps):
            advance(out, seg_u[s], p, dt, swap)
            for a in range(n):
                out[a] = swap[a]


@njit(**_COMPILE)
def _points(x: Any, p: Any, floor: Any, root: Any, sigma: Any) -> float:
    """Write the 2n + 1 sigma points; return the weight of the middle one."""
    n = x.shape[0]
    kappa = 3.0 - n if n < 3 else 0.0
    _root_of(p, n + kappa, floor, root)
    for a in range(n):
        sigma[0, a] = x[a]
    for j in range(n):
        for a in range(n):
            step = root[a, j] if a >= j else 0.0
            sigma[1 + j, a] = x[a] + step
            sigma[1 + n + j, a] = x[a] - step
    weight: float = kappa / (n + kappa)
    return weight


@njit(**_COMPILE)
def _predict_unscented(
    advance: Any, x: Any, p: Any, par: Any, longest: float, seg_dt: Any, seg_u: Any, count: int,
    floor: Any, root: Any, sigma: Any, moved: Any, swap: Any,
) -> None:  # fmt: skip
    n = x.shape[0]
    w0 = _points(x, p, floor, root, sigma)
    w = (1.0 - w0) / (2 * n)
    for j in range(2 * n + 1):
        _flow(advance, sigma[j], par, longest, seg_dt, seg_u, count, moved[j], swap)
    for a in range(n):
        s = w0 * moved[0, a]
        for j in range(1, 2 * n + 1):
            s += w * moved[j, a]
        x[a] = s
    for a in range(n):
        for b in range(a + 1):
            s = w0 * (moved[0, a] - x[a]) * (moved[0, b] - x[b])
            for j in range(1, 2 * n + 1):
                s += w * (moved[j, a] - x[a]) * (moved[j, b] - x[b])
            p[a, b] = s
            p[b, a] = s


@njit(**_COMPILE)
def _predict_kalman(
    advance: Any, x: Any, p: Any, par: Any, longest: float, seg_dt: Any, seg_u: Any, count: int,
    root: Any, sigma: Any, moved: Any, swap: Any,
) -> None:  # fmt: skip
    """Linearise by differences of one ten-thousandth of each state's deviation."""
    n = x.shape[0]
    _flow(advance, x, par, longest, seg_dt, seg_u, count, moved[0], swap)
    for j in range(n):
        h = 1e-4 * math.sqrt(p[j, j]) + 1e-9 * abs(x[j]) + 1e-150
        for a in range(n):
            sigma[0, a] = x[a]
        sigma[0, j] += h
        _flow(advance, sigma[0], par, longest, seg_dt, seg_u, count, moved[1 + j], swap)
        for a in range(n):
            moved[1 + j, a] = (moved[1 + j, a] - moved[0, a]) / h
    for a in range(n):
        for b in range(n):
            s = 0.0
            for c in range(n):
                s += moved[1 + c, a] * p[c, b]
            root[a, b] = s
    for a in range(n):
        x[a] = moved[0, a]
        for b in range(a + 1):
            s = 0.0
            for c in range(n):
                s += root[a, c] * moved[1 + c, b]
            p[a, b] = s
            p[b, a] = s


@njit(**_COMPILE)
def _expect(
    measure: Any, method: int, x: Any, p: Any, u: Any, par: Any, floor: Any, port: int,
    root: Any, sigma: Any, y: Any, cross: Any,
) -> tuple[float, float]:  # fmt: skip
    """Return what the sensor `port` should show and the variance of that; write its covariance
    with the states."""
    n = x.shape[0]
    if method == KALMAN:
        measure(x, u, par, y)
        mean = y[port]
        for j in range(n):
            h = 1e-4 * math.sqrt(p[j, j]) + 1e-9 * abs(x[j]) + 1e-150
            for a in range(n):
                sigma[0, a] = x[a]
            sigma[0, j] += h
            measure(sigma[0], u, par, y)
            sigma[1, j] = (y[port] - mean) / h
        var = 0.0
        for a in range(n):
            s = 0.0
            for b in range(n):
                s += p[a, b] * sigma[1, b]
            cross[a] = s
            var += sigma[1, a] * s
        return mean, var
    w0 = _points(x, p, floor, root, sigma)
    w = (1.0 - w0) / (2 * n)
    measure(sigma[0], u, par, y)
    middle = y[port]
    shift, squares = 0.0, 0.0
    for a in range(n):
        cross[a] = 0.0
    for j in range(1, 2 * n + 1):
        measure(sigma[j], u, par, y)
        d = y[port] - middle
        shift += w * d
        squares += w * d * d
        for a in range(n):
            cross[a] += w * d * (sigma[j, a] - x[a])
    return middle + shift, squares - shift * shift


@njit(**_COMPILE)
def _correct(x: Any, p: Any, cross: Any, variance: float, innovation: float) -> None:
    n = x.shape[0]
    for a in range(n):
        x[a] += cross[a] / variance * innovation
        for b in range(a + 1):
            s = p[a, b] - cross[a] * cross[b] / variance
            p[a, b] = s
            p[b, a] = s


@njit(**_COMPILE)
def _is_sound(x: Any, p: Any) -> bool:
    sound = True
    for a in range(x.shape[0]):
        sound &= abs(x[a]) < _HUGE and 0.0 < p[a, a] < _HUGE
    return sound


@njit(**_COMPILE)
def _open_up(p: Any, spread: Any) -> None:
    for a in range(p.shape[0]):
        for b in range(p.shape[0]):
            p[a, b] = 0.0
        p[a, a] = spread[a] * spread[a]


@njit(**_COMPILE)
def _hear_input(
    at: int, v: float, delay: float, t: int, is_started: bool, u: Any, port: int, ring_t: Any,
    ring_v: Any, ring_n: Any,
) -> None:  # fmt: skip
    """Put a changed input where it waits for its time; where none has come yet it holds from
    now."""
    n = ring_n[port]
    newest = ring_v[port, n - 1] if n > 0 else u[port]
    if not is_started:
        u[port] = v
        ring_n[port] = 0
    elif v != newest:
        due = max(at + int(delay * 1e6), t)
        room = ring_t.shape[1]
        closest = int(delay * 1e6 / (room - 1))
        if n > 0 and (n == room or due - ring_t[port, n - 1] < closest):
            ring_v[port, n - 1] = v  # finer than the ring holds: the newest stands for both
        elif n == room:
            u[port] = v
        else:
            ring_t[port, n] = due
            ring_v[port, n] = v
            ring_n[port] = n + 1


class Fleet(NamedTuple):
    """Arrays of N twins with n states, m inputs, r outputs, k parameters: state `x (N, n)` and its
    covariance `p (N, n, n)`, inputs in force `u (N, m)`, parameters `par (N, k)`, standard
    deviations `walk (N, n)` and `noise (N, r)`, `t (N,)` µs of plant time, `started (N,)`,
    `behind (N,)` how many samples in a row came late, `start`, `spread (N, n)`, bounds `low`,
    `high (n,)`, `delays (m,)` indices into par, rings `(N, m, RING)` and their lengths `(N, m)`."""

    x: Any
    p: Any
    u: Any
    par: Any
    walk: Any
    noise: Any
    t: Any
    started: Any
    behind: Any
    start: Any
    spread: Any
    low: Any
    high: Any
    delays: Any
    ring_t: Any
    ring_v: Any
    ring_n: Any


class _Desk(NamedTuple):
    """Memory that a kernel works in."""

    root: Any
    sigma: Any
    moved: Any
    y: Any
    cross: Any
    swap: Any
    seg_dt: Any
    seg_u: Any


_FLEET: Final = types.NamedTuple(
    (A2, A3, A2, A2, A2, A2, I1, I1, I1, A2, A2, A1, A1, I1, I3, A3, I2), Fleet
)


@njit(forceinline=True, **_COMPILE)
def _is_in_time(f: Any, i: int, now: int, horizon: int, d: Any) -> bool:
    """Return whether a twin may take an output of that time; one that has no state yet, or whose
    state is worth nothing any more (long silence, clock set back), begins."""
    if f.started[i] != 0 and now < f.t[i]:
        if f.behind[i] < BELIEVED:
            f.behind[i] += 1
            return False
        f.started[i] = 0
    f.behind[i] = 0
    if f.started[i] == 0 or now - f.t[i] > horizon:
        if f.started[i] == 0:
            f.x[i] = f.start[i]
        _schedule(f.t[i], now, f.u[i], f.ring_t[i], f.ring_v[i], f.ring_n[i], d.seg_dt, d.seg_u)
        _open_up(f.p[i], f.spread[i])
        f.started[i], f.t[i] = 1, now
    return True


@njit(forceinline=True, **_COMPILE)
def _predict(
    advance: Any, method: int, longest: float, f: Any, i: int, now: int, d: Any
) -> None:  # fmt: skip
    """Bring a twin's state to a later time."""
    x, p, n = f.x[i], f.p[i], f.x.shape[1]
    count = _schedule(f.t[i], now, f.u[i], f.ring_t[i], f.ring_v[i], f.ring_n[i], d.seg_dt, d.seg_u)
    if method == UNSCENTED:
        _predict_unscented(advance, x, p, f.par[i], longest, d.seg_dt, d.seg_u, count,
                           f.spread[i], d.root, d.sigma, d.moved, d.swap)  # fmt: skip
    elif method == KALMAN:
        _predict_kalman(advance, x, p, f.par[i], longest, d.seg_dt, d.seg_u, count, d.root,
                        d.sigma, d.moved, d.swap)  # fmt: skip
    else:
        _flow(advance, x, f.par[i], longest, d.seg_dt, d.seg_u, count, d.moved[0], d.swap)
        for a in range(n):
            x[a] = d.moved[0, a]
    dt = (now - f.t[i]) * 1e-6
    for a in range(n):
        if method != OPEN:
            grown = p[a, a] + f.walk[i, a] * f.walk[i, a] * dt
            # A state never gets less certain than it was at the start.
            p[a, a] = min(grown, max(p[a, a], f.spread[i, a] * f.spread[i, a]))
        x[a] = min(max(x[a], f.low[a]), f.high[a])
    f.t[i] = now


@njit(forceinline=True, **_COMPILE)
def _restart(f: Any, i: int) -> None:
    """Have a twin begin anew with its next sample."""
    f.started[i] = 0
    f.ring_n[i] = 0
    f.x[i] = f.start[i]
    _open_up(f.p[i], f.spread[i])


@njit(forceinline=True, **_COMPILE)
def _take(
    measure: Any, method: int, f: Any, i: int, out: int, value: float, d: Any
) -> tuple[float, float]:  # fmt: skip
    """Correct a twin by one output's sample; return the estimate and the innovation over its
    standard deviation, which is NaN where the twin had to begin anew."""
    x, p = f.x[i], f.p[i]
    if method == OPEN:
        measure(x, f.u[i], f.par[i], d.y)
        mean, variance = d.y[out], 0.0
    else:
        mean, variance = _expect(measure, method, x, p, f.u[i], f.par[i], f.spread[i], out,
                                 d.root, d.sigma, d.y, d.cross)  # fmt: skip
    variance = max(variance, 0.0) + f.noise[i, out] * f.noise[i, out]
    surprise = (value - mean) / math.sqrt(variance)
    if method != OPEN:
        _correct(x, p, d.cross, variance, value - mean)
        for a in range(x.shape[0]):
            x[a] = min(max(x[a], f.low[a]), f.high[a])
    measure(x, f.u[i], f.par[i], d.y)
    if _is_sound(x, p) and abs(d.y[out]) < _HUGE and abs(surprise) < _HUGE:
        return d.y[out], surprise
    _restart(f, i)
    return 0.0, np.nan


@kernel(types.void(ADVANCE, MEASURE, int64, float64, _FLEET, I1, I1, I1, A1, A1, A1, I1))
def run_filters(
    advance: Any, measure: Any, method: int, longest: float, f: Any, twin: Any, port: Any,
    at: Any, value: Any, estimate: Any, surprise: Any, flag: Any,
) -> None:  # fmt: skip
    """Take events and write what came of each.

    Events, all `(E,)`: `twin`, `port` (inputs first, then outputs), `at` µs of plant time,
    `value`. Results `(E,)`: `estimate` the output after the event, `surprise` its innovation over
    its standard deviation, `flag` one of the constants of this module.
    """
    n, m, r = f.x.shape[1], f.u.shape[1], f.noise.shape[1]
    d = _Desk(
        np.zeros((n, n)), np.zeros((2 * n + 1, n)), np.zeros((2 * n + 1, n)), np.zeros(r),
        np.zeros(n), np.zeros(n), np.zeros(_SEGMENTS), np.zeros((_SEGMENTS, m)),
    )  # fmt: skip
    horizon = int(min(longest, 1e9) * _STEPS * 1e6)
    for e in range(twin.shape[0]):
        i, now = twin[e], at[e]
        flag[e] = INPUT
        estimate[e] = surprise[e] = 0.0
        if not abs(value[e]) < _HUGE:
            flag[e] = BAD_VALUE
        elif port[e] < m:
            late = f.delays[port[e]]
            delay = f.par[i, late] if late >= 0 else 0.0
            _hear_input(now, value[e], delay, f.t[i], f.started[i] != 0, f.u[i], port[e],
                        f.ring_t[i], f.ring_v[i], f.ring_n[i])  # fmt: skip
        else:
            if f.started[i] != 0 and 0 < f.t[i] - now < _SLACK_US:
                now = f.t[i]
            if not _is_in_time(f, i, now, horizon, d):
                flag[e] = LATE
                continue
            if now > f.t[i]:
                _predict(advance, method, longest, f, i, now, d)
            found, z = _take(measure, method, f, i, port[e] - m, value[e], d)
            if z == z:
                flag[e], estimate[e], surprise[e] = ESTIMATED, found, z
            else:
                flag[e] = RESTARTED
