"""Whatever the shop: every schedule of every method is one, and a repair is never worse."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.schedule.engine import dispatch, moments, repair
from lineshaft.rooms.decide.schedule.engine.check import faults
from lineshaft.rooms.decide.schedule.engine.improve import Improve
from lineshaft.rooms.decide.schedule.engine.problem import Compiled, compile_shop
from lineshaft.rooms.decide.schedule.engine.pure import pure_of
from lineshaft.rooms.decide.schedule.model import Schedule, Shop, Window, check_shop
from tests.decide.schedule.shops import HOUR, drawn, pure

_SOME = settings(max_examples=40, deadline=None)
_SEEDS = st.integers(0, 10**6)


def _compiled(shop: Shop) -> Compiled:
    try:
        return compile_shop(shop)
    except Refused as error:  # an operation that may not pause, longer than any shift
        assert error.code == "shop.calendar"
        assume(False)
        raise


def _improved(compiled: Compiled, begin: dispatch.Timed, seed: int, steps: int) -> Schedule:
    search = Improve(compiled.problem, begin, seed)
    search.run(steps)
    made = compiled.schedule(*search.best[:3], search.method)
    assert made.cost.total == pytest.approx(search.best[3])
    return made


@_SOME
@given(_SEEDS)
def test_every_schedule_is_one(seed: int) -> None:
    shop = drawn(seed)
    compiled = _compiled(shop)
    for rule in dispatch.RULES:
        for active in (0.0, 1.0):
            timed = dispatch.by_rule(compiled.problem, rule, active=active)
            made = compiled.schedule(*timed[:3], rule)
            assert faults(shop, made) == []
            assert made.cost.total == pytest.approx(timed[3])
    begin = dispatch.best_rule(compiled.problem)[0]
    better = _improved(compiled, begin, seed, 1500)
    assert faults(shop, better) == []
    assert better.cost.total <= begin[3] + 1e-6


@_SOME
@given(_SEEDS, _SEEDS)
def test_a_repair_is_valid_and_never_worse_than_right_shift(seed: int, chance: int) -> None:
    shop, dice = drawn(seed), random.Random(chance)
    compiled = _compiled(shop)
    begin = dispatch.best_rule(compiled.problem)[0]
    before = _improved(compiled, begin, seed, 500)
    row = dice.choice(before.rows)
    now = row.start + (row.end - row.start) // 2_000_000 * 1_000_000
    failing = row.machine if dice.random() < 0.5 else dice.choice(shop.machines).id
    window = Window(now, now + dice.randint(1, 20) * HOUR, "breakdown")
    broken = moments.with_breakdown(moments.at_moment(shop, before, now), failing, window)
    check_shop(broken)
    again = _compiled(broken)
    best, right = repair.repaired(again, before)
    shifted = again.schedule(*repair.shifted(again, before)[:3], "right-shift")
    assert faults(broken, shifted) == []
    assert faults(broken, best) == []
    assert shifted.cost.total == pytest.approx(right)
    assert best.cost.total <= right + 1e-6
    later = _improved(again, repair.shifted(again, best), seed, 500)
    assert faults(broken, later) == []
    assert later.cost.total <= best.cost.total + 1e-6
    begun = {(one.order, one.operation) for one in broken.started}
    kept = {(r.order, r.operation): (r.machine, r.start) for r in before.rows}
    for r in later.rows:
        if (r.order, r.operation) in begun:
            assert (r.machine, r.start) == kept[r.order, r.operation]


def test_the_same_seed_gives_the_same_schedule() -> None:
    for shop in (drawn(5), drawn(11), pure(3, 8, 6)):
        compiled = compile_shop(shop)
        begin = dispatch.best_rule(compiled.problem)[0]
        one, other = (_improved(compiled, begin, 7, 4000) for _ in range(2))
        assert one == other


def test_steps_in_pieces_are_the_same_steps() -> None:
    for shop in (drawn(11), pure(3, 8, 6)):
        compiled = compile_shop(shop)
        begin = dispatch.best_rule(compiled.problem)[0]
        whole, pieces = (Improve(compiled.problem, begin, 3) for _ in range(2))
        whole.run(3000)
        for _ in range(30):
            pieces.run(100)
        assert whole.best[3] == pieces.best[3]
        assert (whole.best[1] == pieces.best[1]).all()


@pytest.mark.parametrize("seed", range(6))
def test_small_shops_are_solved_to_the_end(seed: int) -> None:
    """All orders on two machines tried: the search finds none that is better, and one as good."""
    shop = pure(seed, 3, 3)
    compiled = compile_shop(shop)
    search = Improve(compiled.problem, dispatch.best_rule(compiled.problem)[0], seed)
    search.run(3000)
    assert search.best[3] == _exact(compiled)


def _exact(compiled: Compiled) -> float:
    """Return the least makespan over all sequences of jobs with repetition."""
    p, n = compiled.problem, len(compiled.problem.job)
    best, jobs = np.inf, int(p.job.max()) + 1
    at = [int(np.flatnonzero(p.job == j)[0]) for j in range(jobs)]
    count = n // jobs

    def go(done: list[int], ends: list[int], free: dict[int, int], left: int) -> None:
        nonlocal best
        if max(ends) >= best:
            return
        if not left:
            best = max(ends)
            return
        for j in range(jobs):
            if done[j] < count:
                i = at[j] + done[j]
                m, work = int(p.choice_machine[i]), int(p.choice_time[i])
                end = max(ends[j], free.get(m, 0)) + work
                go(
                    [d + (x == j) for x, d in enumerate(done)],
                    [end if x == j else e for x, e in enumerate(ends)],
                    {**free, m: end}, left - 1,
                )  # fmt: skip

    go([0] * jobs, [0] * jobs, {}, n)
    return float(best)


def test_what_costs_lateness_has_no_pure_form() -> None:
    shop = pure(1, 4, 4)
    assert pure_of(compile_shop(shop).problem) is not None
    orders = (replace(shop.orders[0], due=1_000_000), *shop.orders[1:])
    assert pure_of(compile_shop(replace(shop, orders=orders)).problem) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_pure_shop_after_a_breakdown_is_still_pure_and_gets_better(seed: int) -> None:
    shop = pure(seed, 10, 6)
    compiled = compile_shop(shop)
    before = _improved(compiled, dispatch.best_rule(compiled.problem)[0], seed, 5000)
    now = before.cost.makespan // 4 * 1_000_000
    window = Window(now, now + before.cost.makespan * 100_000 // 1_000_000 * 1_000_000)
    broken = moments.with_breakdown(moments.at_moment(shop, before, now), "M2", window)
    again = compile_shop(broken)
    assert pure_of(again.problem) is not None
    best, right = repair.repaired(again, before)
    later = _improved(again, repair.shifted(again, best), seed, 5000)
    assert faults(broken, later) == []
    assert later.cost.total <= best.cost.total <= right
