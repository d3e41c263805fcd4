"""The journal in SQL does what the book in memory does, whatever the order of its steps."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.core.errors import Refused
from lineshaft.records import Engine, metadata, open_records
from lineshaft.rooms.decide.engine.guards import Verdict
from lineshaft.rooms.decide.engine.guards_people import is_sealed
from lineshaft.rooms.decide.engine.journal import Book
from lineshaft.rooms.decide.journal import CommandBook, Journal, Known, Offer, Result

KEY = b"k" * 32
BODY = {"mode": "supervised"}


def _engine(folder: Path) -> Engine:
    engine = open_records(folder / "records.sqlite")
    metadata.create_all(engine)
    return engine


def _command(number: int, proposal: str = "p") -> Command:
    return Command(f"{proposal}-{number}", 1 + number % 3, float(number), 1000 + number, 5000,
                   "loop", before=0.5)  # fmt: skip


STEP = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 5)),
    st.tuples(st.just("send"), st.integers(0, 5)),
    st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from(list(Ending))),
    st.tuples(st.just("restart")),
)


@settings(max_examples=25)
@given(st.lists(STEP, max_size=25))
def test_the_journal_in_sql_is_the_book(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    asyncio.run(_compare(_engine(tmp_path_factory.mktemp("journal")), steps))


async def _compare(engine: Engine, steps: list[tuple[object, ...]]) -> None:
    book, told = Book(), list[str]()
    sql = CommandBook(engine, lambda: told.append("x"))
    for at, step in enumerate(steps, 2000):
        if step[0] == "restart":
            sql = CommandBook(engine, lambda: told.append("x"))
            continue
        number = step[1]
        assert isinstance(number, int)
        command = _command(number)
        if step[0] == "open":
            assert await sql.open(command) == book.open(command)
        elif command.id not in book.entries:
            continue
        elif step[0] == "send":
            assert await sql.send(command.id, at) == book.send(command.id, at)
        else:
            ending = step[2]
            assert isinstance(ending, Ending)
            outcome = Outcome(command.id, ending, at, "why", "guard", 1.5)
            assert await sql.end(outcome) == book.end(outcome)
    assert list(await sql.pending()) == sorted(book.pending(), key=lambda one: one.command.at)
    for sid in (1, 2, 3):
        assert list(await sql.moves(sid)) == book.moves(sid)
    ended = [one for one in book.entries.values() if one.outcome is not None]
    assert {one.command.id: one.outcome for one in sql.untold()} == {
        one.command.id: one.outcome for one in ended
    }


async def test_what_the_guards_said_is_kept_with_the_outcome(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    book, command = CommandBook(engine, lambda: None), _command(1)
    await book.open(command)
    book.judged(command, None, (Verdict("stop"), Verdict("rate", "too fast")))
    await book.end(Outcome(command.id, Ending.REFUSED, 2000, "too fast", "rate"))
    made = Journal(engine).get(command.id)
    assert [(one.guard, one.passed) for one in made.verdicts] == [("stop", True), ("rate", False)]
    assert (made.loop, made.proposal) == ("loop", "p")
    book.tell([command.id])
    assert book.untold() == []


def _offer(number: str, state: str = "waiting", expires: int = 9000) -> Offer:
    return Offer(number, "loop", 1000, 1.0, state, expires, [_command(1, number),
                 _command(2, number)], (), BODY)  # fmt: skip


def test_two_persons_must_say_yes_and_each_once(tmp_path: Path) -> None:
    journal = Journal(_engine(tmp_path))
    journal.step(_offer("p"), [])
    first = journal.approve("p", "ann", 2, KEY, 2000)
    assert (first.state, first.persons) == ("waiting", ("ann",))
    with pytest.raises(Refused, match="already"):
        journal.approve("p", "ann", 2, KEY, 2001)
    done = journal.approve("p", "bob", 2, KEY, 2002)
    assert (done.state, done.persons) == ("approved", ("ann", "bob"))
    assert journal.offer("p") == done
    for command in done.commands:
        mine = [one for one in done.approvals if one.command == command.id]
        assert len(mine) == 2 and all(is_sealed(KEY, one, command) for one in mine)
        assert not any(is_sealed(b"another key", one, command) for one in mine)


def test_nobody_says_yes_too_late_or_to_what_is_over(tmp_path: Path) -> None:
    journal = Journal(_engine(tmp_path))
    journal.step(_offer("late"), [])
    with pytest.raises(Refused, match="expired"):
        journal.approve("late", "ann", 1, KEY, 9000)
    offer = journal.offer("late")
    assert journal.close(offer, "waiting", "rejected", Ending.REFUSED, "no", "approval", 3000)
    assert not journal.close(offer, "waiting", "expired", Ending.EXPIRED, "late", "", 9000)
    with pytest.raises(Refused, match="rejected"):
        journal.approve("late", "ann", 1, KEY, 3001)
    outcomes = [one.outcome for one in journal.moves("loop", 10)]
    assert [one.ending for one in outcomes if one is not None] == [Ending.REFUSED] * 2


def test_a_step_is_whole_and_results_are_found_again(tmp_path: Path) -> None:
    journal = Journal(_engine(tmp_path))
    result = Result(1500, 3.0, "supervised", 10.0, 11.0, settled=True)
    journal.step(_offer("p"), [result], Known("t", 7, "m", b"all"))
    assert journal.known("loop") == Known("t", 7, "m", b"all")
    assert journal.results("loop", "supervised", 0) == [result]
    assert journal.results("loop", "supervised", 1501) == []
    assert journal.happened("loop", 1000) == result
    assert journal.happened("loop", 1500) is None
    with pytest.raises(Exception, match="UNIQUE"):
        journal.step(_offer("p"), [result], Known("t", 8, "n", b"more"))
    assert journal.known("loop") == Known("t", 7, "m", b"all"), "half a step was kept"


def test_the_list_of_moves_goes_on_where_it_ended(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    book, journal = CommandBook(engine, lambda: None), Journal(engine)
    for number in range(7):
        asyncio.run(book.open(_command(number)))
    seen, after = list[str](), ""
    while page := journal.moves("loop", 3, after):
        seen += [one.command.id for one in page]
        after = seen[-1]
    assert seen == [f"p-{n}" for n in range(6, -1, -1)]
