"""The steps of the tabu search as machine code; `tabu` says what they are good for.

Rules: a move takes one operation behind (or before) another of its block on the critical path;
its worth is the longest way through the operations it moves, their other neighbours left as they
are. The order of time is mended where a move touches it, never made anew.
"""

from typing import NamedTuple

from lineshaft.rooms.decide.schedule.engine.chance import Chance, below
from lineshaft.rooms.decide.schedule.engine.compiled import compiled
from lineshaft.rooms.decide.schedule.engine.problem import NEVER, Ints, Plan
from lineshaft.rooms.decide.schedule.engine.pure import Pure, heads, tails

__all__ = ["Work", "search"]


class Work(NamedTuple):
    """What a search works with, all (n,): the order of time and the `place` of each operation in
    it, heads and tails; the rest is scratch."""

    topo: Ints
    place: Ints
    head: Ints
    tail: Ints
    path: Ints
    line: Ints
    fore: Ints
    mark: Ints


@compiled
def search(q: Pure, now: Plan, local: Plan, w: Work, pairs: Ints, state: Ints, chance: Chance,
           steps: int, patience: int) -> bool:  # fmt: skip
    """Make moves until `steps` are done (False) or nothing was gained for `patience` of them
    (True). `now` is the plan as it stands, `local` the best since the search began here; `state`
    is (step, step of the last gain, makespan of `local`, of `now`)."""
    tenure = 8 + len(q.time) // (3 * len(q.free))
    for _ in range(steps):
        state[0] += 1
        length = _walk(q, now, w, state[3], chance)
        u, v, forward = _choose(q, now, w, pairs, state, length, chance)
        if u < 0:
            return True
        count = _line(q, now, w, u, v, forward)
        _forbid(q, w, pairs, count, forward, state[0] + tenure + below(chance, tenure + 1))
        begin, end = w.place[u], w.place[v]
        if _mend(q, now, w, u, v, forward):
            _move(now, u, v, forward)
            heads(q, now, w.topo, w.head, begin)
            state[3] = tails(q, now, w.topo, w.head, w.tail, end)
        if state[3] < state[2]:
            state[1], state[2] = state[0], state[3]
            local.previous[:], local.following[:] = now.previous, now.following
        elif state[0] - state[1] >= patience:
            return True
    return False


@compiled
def _walk(q: Pure, plan: Plan, w: Work, cost: int, chance: Chance) -> int:
    """Fill `path` with a critical path drawn by chance; return its length."""
    at, seen, count = -1, 0, 0
    head, tail = w.head, w.tail
    for i in range(len(head)):
        if head[i] + tail[i] == cost:
            free = q.ready[i]
            if plan.previous[i] < 0:
                free = max(free, q.free[q.machine[i]])
            if head[i] == free:
                seen += 1
                if below(chance, seen) == 0:
                    at = i
    while at >= 0:
        w.path[count] = at
        count += 1
        done, a, c = head[at] + q.time[at], q.after[at], plan.following[at]
        by_job = a >= 0 and head[a] == done and head[a] + tail[a] == cost
        by_line = c >= 0 and head[c] == done and head[c] + tail[c] == cost
        if by_job and by_line:
            at = a if below(chance, 2) == 0 else c
        else:
            at = a if by_job else (c if by_line else -1)
    return count


@compiled
def _choose(q: Pure, plan: Plan, w: Work, pairs: Ints, state: Ints, length: int,
            chance: Chance) -> tuple[int, int, bool]:  # fmt: skip
    """Return the best move that is not forbidden, or gives a new best; any where all are."""
    best, ties, any_seen = NEVER, 0, 0
    move, other = (-1, -1, False), (-1, -1, False)
    b = 0
    while b < length:
        e = b
        while e + 1 < length and plan.following[w.path[e]] == w.path[e + 1]:
            e += 1
        for kind in range(4):
            # Behind the last, before the first, the first inside, the last inside.
            if (kind in (1, 2) and b == 0) or (kind in (0, 3) and e == length - 1):
                continue
            for x in range(b + (kind in (1, 2)), e + (kind in (1, 2))):
                if kind == 0:
                    u, v, forward = w.path[x], w.path[e], True
                elif kind == 1:
                    u, v, forward = w.path[b], w.path[x], False
                elif kind == 2:
                    u, v, forward = w.path[b], w.path[x], True
                else:
                    u, v, forward = w.path[x], w.path[e], False
                if e == b + 1 and kind > 1:
                    continue  # a swap of two is all there is
                count = _line(q, plan, w, u, v, forward)
                if count == 0:
                    continue
                worth = _estimate(q, plan, w, count, forward)
                if worth >= state[2] and _forbidden(q, w, pairs, count, forward, state[0]):
                    any_seen += 1
                    if below(chance, any_seen) == 0:
                        other = (u, v, forward)
                    continue
                if worth < best:
                    best, ties = worth, 0
                if worth == best:
                    ties += 1
                    if below(chance, ties) == 0:
                        move = (u, v, forward)
        b = e + 1
    return move if move[0] >= 0 else other


@compiled
def _line(q: Pure, plan: Plan, w: Work, u: int, v: int, forward: bool) -> int:
    """Fill `line` with the moved ones in their new order, `u` behind `v` or `v` before `u`; return
    how many they are, 0 where the move might make a ring."""
    if forward:
        a = q.after[u]
        if a >= 0 and w.tail[v] < w.tail[a]:
            return 0
    else:
        b = q.before[v]
        if b >= 0 and w.head[u] + q.time[u] < w.head[b] + q.time[b]:
            return 0
    count, i = 0, u
    if not forward:
        w.line[0] = v
        count = 1
    while True:
        if i != (u if forward else v):
            if q.before[i] == u or q.after[i] == v:
                return 0  # two of one job: they cannot pass each other
            w.line[count] = i
            count += 1
        if i == v:
            break
        i = plan.following[i]
    if forward:
        w.line[count] = u
        count += 1
    return count


@compiled
def _estimate(q: Pure, plan: Plan, w: Work, count: int, forward: bool) -> int:
    """Return about how long the longest way through the moved ones would be."""
    first = w.line[count - 1] if forward else w.line[1]
    last = w.line[count - 2] if forward else w.line[0]
    c, a = plan.previous[first], plan.following[last]
    done = w.head[c] + q.time[c] if c >= 0 else q.free[q.machine[first]]
    for x in range(count):
        i = w.line[x]
        b = q.before[i]
        t = max(done, q.ready[i])
        if b >= 0:
            t = max(t, w.head[b] + q.time[b])
        w.fore[x] = t
        done = t + q.time[i]
    back, longest = w.tail[a] if a >= 0 else 0, 0
    for x in range(count - 1, -1, -1):
        i = w.line[x]
        a = q.after[i]
        if a >= 0:
            back = max(back, w.tail[a])
        back += q.time[i]
        longest = max(longest, w.fore[x] + back)
    return longest


@compiled
def _pair(q: Pure, before: int, after: int) -> int:
    m = q.machine[before]
    return int(q.pairs_at[m] + q.place[before] * q.many[m] + q.place[after])


@compiled
def _forbidden(q: Pure, w: Work, pairs: Ints, count: int, forward: bool, step: int) -> bool:
    """Return whether a move would bring back a pair that was turned lately."""
    for x in range(count - 1):
        if forward and pairs[_pair(q, w.line[x], w.line[count - 1])] > step:
            return True
        if not forward and pairs[_pair(q, w.line[0], w.line[x + 1])] > step:
            return True
    return False


@compiled
def _forbid(q: Pure, w: Work, pairs: Ints, count: int, forward: bool, until: int) -> None:
    """Keep the pairs that a move turns from being turned back."""
    for x in range(count - 1):
        if forward:
            pairs[_pair(q, w.line[count - 1], w.line[x])] = until
        else:
            pairs[_pair(q, w.line[x + 1], w.line[0])] = until


@compiled
def _move(plan: Plan, u: int, v: int, forward: bool) -> None:
    """Put `u` right behind `v`, or `v` right before `u`."""
    i, b, a = (u, v, plan.following[v]) if forward else (v, plan.previous[u], u)
    before, after = plan.previous[i], plan.following[i]
    if before >= 0:
        plan.following[before] = after
    if after >= 0:
        plan.previous[after] = before
    if b >= 0:
        plan.following[b] = i
    if a >= 0:
        plan.previous[a] = i
    plan.previous[i], plan.following[i] = b, a


@compiled
def _mend(q: Pure, plan: Plan, w: Work, u: int, v: int, forward: bool) -> bool:
    """Set the order of time right for a move that is about to be made: who follows `u` goes behind
    `v`, or whom `v` follows before `u`. False, and nothing is changed, where that is a ring."""
    begin, end = w.place[u], w.place[v]
    w.mark[u if forward else v] = 1
    if forward:
        for x in range(begin + 1, end + 1):
            i = w.topo[x]
            b, c = q.before[i], plan.previous[i]
            w.mark[i] = (b >= 0 and w.mark[b] == 1) or (c >= 0 and c != u and w.mark[c] == 1)
    else:
        for x in range(end - 1, begin - 1, -1):
            i = w.topo[x]
            a, c = q.after[i], plan.following[i]
            w.mark[i] = (a >= 0 and w.mark[a] == 1) or (c >= 0 and c != v and w.mark[c] == 1)
    is_ring = w.mark[v if forward else u] == 1
    first, kept = 0 if forward else 1, 0
    if not is_ring:
        for half in range(2):
            for x in range(begin, end + 1):
                if w.mark[w.topo[x]] == (first if half == 0 else 1 - first):
                    w.fore[kept] = w.topo[x]
                    kept += 1
    for x in range(begin, end + 1):
        w.mark[w.topo[x]] = 0
    for x in range(kept):
        w.topo[begin + x] = w.fore[x]
        w.place[w.fore[x]] = begin + x
    return not is_ring
