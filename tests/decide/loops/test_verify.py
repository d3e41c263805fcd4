"""The judge: only what has settled counts; what turns out worse is to be taken back."""

import numpy as np

from lineshaft.rooms.decide.engine.verify import Judge, Verified

PERIOD_H, SETTLE_H = 1.0, 16.0  # a stretch is 4 periods
SPANS = np.array([10.0])


def _judge() -> Judge:
    return Judge(SPANS, PERIOD_H, SETTLE_H, 0.05)


def _run(
    judge: Judge, start: float, u: float, cost: float, periods: int, *,
    expected: float | None = None, acting: bool = True,
) -> list[Verified]:  # fmt: skip
    return [
        judge.take(start + k * PERIOD_H, np.array([u]), cost, expected, acting=acting)
        for k in range(periods)
    ]


def test_what_falls_while_it_settles_is_not_counted() -> None:
    judge = _judge()
    _run(judge, 0, 5.0, 100.0, 24, acting=False)
    assert judge.settled == 100.0
    moved = _run(judge, 24, 7.0, 60.0, 19)  # a false low, while an inventory fills
    assert not any(one.settled for one in moved[:16])
    assert judge.best == 100.0


def test_a_settled_result_that_is_worse_is_to_be_taken_back_to_the_last_good_point() -> None:
    judge = _judge()
    _run(judge, 0, 5.0, 100.0, 24, acting=False)
    found = _run(judge, 24, 8.0, 120.0, 40, expected=90.0)
    worse = [one for one in found if one.worse]
    assert worse and worse[0].objective == 120.0 and worse[0].predicted == 90.0
    assert judge.good.tolist() == [5.0]
    judge.accept()
    _run(judge, 64, 5.0, 121.0, 40, expected=90.0)
    assert judge.settled == 121.0, "a plant that has changed for the worse is not fled for ever"
    assert judge.good.tolist() == [5.0]


def test_what_was_foretold_to_be_worse_is_no_surprise_within_tolerance() -> None:
    judge = _judge()
    _run(judge, 0, 5.0, 100.0, 24, acting=False)
    assert not any(one.worse for one in _run(judge, 24, 8.0, 104.0, 40, expected=90.0))
    assert not any(one.worse for one in _run(judge, 64, 5.0, 118.0, 40, expected=117.0))


def test_without_acting_nothing_is_taken_back() -> None:
    judge = _judge()
    _run(judge, 0, 5.0, 100.0, 24, acting=False)
    assert not any(one.worse for one in _run(judge, 24, 8.0, 150.0, 60, acting=False))
    assert judge.good.tolist() == [8.0]


def test_a_missing_objective_counts_neither_way() -> None:
    judge = _judge()
    assert not any(one.settled for one in _run(judge, 0, 5.0, float("nan"), 60))
    assert judge.settled is None


def test_a_plant_that_is_probed_has_not_settled() -> None:
    """Moves of a hundredth of a range, hours apart, keep a plant with inventories from rest."""
    judge = _judge()
    _run(judge, 0, 5.0, 100.0, 24, acting=False)
    for k in range(10):
        probed = _run(judge, 24 + 8 * k, 5.0 + 0.1 * (k % 2 == 0), 100.0 + 9 * (-1) ** k, 8)
        assert not any(one.settled for one in probed)
    assert judge.settled == 100.0


def test_no_verdict_is_finer_than_what_the_plant_does_by_itself() -> None:
    calm, restless = _judge(), _judge()
    for k in range(60):
        _run(calm, 4 * k, 5.0, 100.0, 4, acting=False)
        _run(restless, 4 * k, 5.0, 100.0 + 8 * (-1) ** k, 4, acting=False)
    assert calm.room(100.0) == 5.0, "the tolerance"
    assert 30.0 < restless.room(100.0) < 50.0
    assert any(one.worse for one in _run(calm, 240, 8.0, 125.0, 40, expected=90.0))
    assert not any(one.worse for one in _run(restless, 240, 8.0, 125.0, 40, expected=90.0))
    assert any(one.worse for one in _run(restless, 280, 5.0, 200.0, 40, expected=90.0))


def test_a_difference_after_a_move_is_no_unrest() -> None:
    judge = _judge()
    for k in range(6):
        _run(judge, 40 * k, 5.0 + k % 2, 100.0 + 20 * (k % 2), 40, acting=False)
    assert judge.room(100.0) == 5.0


def test_saved_and_loaded_it_says_the_same() -> None:
    whole, first, second = _judge(), _judge(), _judge()
    dice = np.random.default_rng(1)
    rows = [(float(k), np.array([5.0 + (k > 30)]), float(dice.normal(100, 5))) for k in range(90)]
    said = [whole.take(h, u, cost, 99.0, acting=h > 25) for h, u, cost in rows]
    for h, u, cost in rows[:47]:
        first.take(h, u, cost, 99.0, acting=h > 25)
    second.load(*first.save())
    rest = [second.take(h, u, cost, 99.0, acting=h > 25) for h, u, cost in rows[47:]]
    assert said[47:] == rest
