"""Rights: every operation × every caller, as declared; refusals are told, never in a flood."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.app import describe_api
from lineshaft.core.errors import Broken
from lineshaft.core.facts import Fact
from lineshaft.web import audit as audit_module
from lineshaft.web.audit import Audit, Call
from lineshaft.web.doors import build_api
from lineshaft.web.gate import OPEN
from lineshaft.web.rights import ALL, ROLES, may, rights_of, scopes_of
from lineshaft.web.throttle import Throttle
from tests.web.conftest import House
from tests.web.test_people import MARK, browser, person

# Written down again, apart from the table that the platform uses.
PLANT = {"history", "signals", "sources", "certificates", "panel", "system", "notes", "views",
         "calculations", "imports", "exports", "backup", "twins", "decisions",
         "ledger", "schedules"}  # fmt: skip
VIEWER = {f"{kind}.read" for kind in PLANT}
OPERATOR = VIEWER | {"notes.write", "views.write", "panel.write", "decisions.approve",
                     "schedules.report"}  # fmt: skip
ENGINEER = (
    OPERATOR
    | {
        f"{kind}.write"
        for kind in (
            "signals",
            "sources",
            "certificates",
            "calculations",
            "imports",
            "exports",
            "twins",
            "decisions",
            "schedules",
        )
    }
    | {"decisions.promote"}
)
EVERYTHING = {f"{kind}.{action}" for kind in PLANT | {"people", "tokens", "audit"}
              for action in ("read", "write", "admin")}  # fmt: skip
EVERYTHING |= {"decisions.approve", "decisions.promote", "schedules.report"}
HELD = {"viewer": VIEWER, "operator": OPERATOR, "engineer": ENGINEER, "administrator": EVERYTHING}
OPERATIONS = [
    (method.upper(), path, operation["x-right"])
    for path, operations in describe_api()["paths"].items()
    for method, operation in operations.items()
]


def test_the_table_is_the_one_written_down() -> None:
    assert {role: set(rights_of(role)) for role in ROLES} == HELD
    assert rights_of("nobody") == rights_of("") == frozenset()


def test_only_signing_in_is_open_to_nobody() -> None:
    assert {(method, path) for method, path, right in OPERATIONS if right == "public"} == OPEN


@pytest.mark.parametrize("extra", [None, {}, {"x-right": ""}, {"x-right": "signals.fly"}])
def test_an_operation_without_a_right_is_not_built(extra: dict[str, Any] | None) -> None:
    router = APIRouter()

    @router.get("/thing", openapi_extra=extra)
    async def thing() -> None: ...

    with pytest.raises(ValueError, match="'thing' declares the right"):
        build_api([router])


@pytest.fixture(scope="module")
def callers(house: House) -> Iterator[dict[str, httpx.Client]]:
    with ExitStack() as stack:
        clients = {role: stack.enter_context(person(house, role)) for role in ROLES}
        clients["nobody"] = stack.enter_context(browser(house))
        for name, right in (("views", "views.read"), ("notes", "notes.read")):
            body = {"name": name, "rights": [right]}
            text = clients["administrator"].post("tokens", json=body).json()["token"]
            clients[f"token {name}"] = stack.enter_context(browser(house))
            clients[f"token {name}"].headers["Authorization"] = f"Bearer {text}"
        yield clients


def status_of(client: httpx.Client, method: str, path: str) -> int:
    """Return how a call without content ends; a stream is left at its beginning."""
    content = None if method == "GET" else b"{}"
    headers = {"Content-Type": "application/json", **MARK}
    with client.stream(method, path, content=content, headers=headers) as answer:
        return answer.status_code


def is_allowed(caller: str, method: str, right: str) -> bool:
    if right == "public":
        return True
    if caller == "nobody" or right == "key":
        return False
    if caller.startswith("token "):
        own = f"{caller.removeprefix('token ')}.read"
        return method == "GET" if right == "self" else right == own
    return right == "self" or right in HELD[caller]


@pytest.mark.parametrize(("method", "path", "right"), OPERATIONS)
def test_every_caller_gets_exactly_what_is_declared(
    house: House, callers: dict[str, httpx.Client], method: str, path: str, right: str
) -> None:
    url = house.url + re.sub(r"\{.*?\}", "999999", path)
    for caller, client in callers.items():
        if (method, path) == ("DELETE", "/api/v1/session") and caller in HELD:
            continue  # it would sign them out; another test does
        status = status_of(client, method, url)
        if is_allowed(caller, method, right):
            assert status not in {401, 403} and status < 500, (caller, status)
        else:
            assert status == (401 if caller == "nobody" else 403), (caller, status)


def test_a_session_stays_what_it_was_after_all_that(callers: dict[str, httpx.Client]) -> None:
    for role in ROLES:
        assert callers[role].get("session").json()["role"] == role


RIGHTS = st.sets(st.sampled_from(sorted(ALL)))


@given(role=st.sampled_from(ROLES), asked=RIGHTS, right=st.sampled_from(sorted(ALL)))
def test_a_token_never_may_more_than_its_owner(role: str, asked: set[str], right: str) -> None:
    held = scopes_of(role, asked)
    assert held <= rights_of(role) and held <= asked
    assert not may(right, held, by="token", reads=False) or right in HELD[role]
    assert all(one.endswith(".read") for one in scopes_of(role, None))


def test_pauses_double_and_end(clock: list[float]) -> None:
    throttle, waits = Throttle(5), []
    for _ in range(20):
        throttle.count("x", clock[0])
        waits.append(throttle.wait_s("x", clock[0]))
        clock[0] += waits[-1]
    assert waits[:8] == [0, 0, 0, 0, 1, 2, 4, 8] and max(waits) == waits[-1] == 300
    throttle.forget("x")
    assert throttle.wait_s("x", clock[0]) == 0


def test_failures_long_ago_are_forgotten_and_memory_is_bounded(clock: list[float]) -> None:
    throttle = Throttle(1)
    throttle.count("x", clock[0])
    throttle.count("x", clock[0])
    clock[0] += 1_000
    throttle.count("x", clock[0])
    assert throttle.wait_s("x", clock[0]) == 1
    for number in range(20_000):
        throttle.count(f"other {number}", clock[0])
    assert len(throttle._known) == 10_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(audit_module, "monotonic_s", lambda: now[0])
    return now


CALL = Call("anna", "session:1", "add_note", "POST", "/api/v1/notes", 201, "", "192.0.2.1")
REFUSAL = replace(CALL, operation="remove_person", status=403)


class Shelf:
    """A bus that is away until it is opened."""

    def __init__(self) -> None:
        self.told: list[Fact] = []
        self.open = asyncio.Event()
        self._more = asyncio.Event()

    async def tell(self, fact: Fact) -> None:
        await self.open.wait()
        self.told.append(fact)
        self._more.set()

    async def has(self, count: int) -> None:
        while len(self.told) < count:
            self._more.clear()
            await self._more.wait()


async def running(audit: Audit, then: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(audit.run())
    await then()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_calls_wait_in_order_while_the_bus_is_away_and_then_none_may_change(
    clock: list[float],
) -> None:
    shelf = Shelf()
    audit = Audit(shelf.tell)
    taken = 0
    with pytest.raises(Broken, match="nothing may be changed") as refused:
        for taken in range(100_000):
            audit.take_place()
            audit.called(replace(CALL, path=str(taken)))
    assert refused.value.status == 503 and taken == 5_000
    for number in range(10_000):
        audit.refused(replace(REFUSAL, address=f"192.0.2.{number % 250}"))
    assert len(audit._queue) == 5_000

    async def written() -> None:
        shelf.open.set()
        async with asyncio.timeout(10):
            await shelf.has(5_000)

    await running(audit, written)
    paths = [fact.body["subject"] for fact in shelf.told if fact.kind == "audit.called"]
    assert paths == [str(number) for number in range(5_000)]
    assert len({fact.id for fact in shelf.told}) == len(shelf.told)
    audit.take_place()


async def test_a_flood_of_refusals_becomes_few_facts_and_none_is_uncounted(
    clock: list[float],
) -> None:
    shelf = Shelf()
    shelf.open.set()
    audit = Audit(shelf.tell)
    for number in range(100_000):
        audit.refused(replace(REFUSAL, address=f"10.{number % 7}.{number % 251}.{number % 241}"))
    audit.refused(replace(REFUSAL, status=401))

    async def begun() -> None:
        async with asyncio.timeout(10):
            await shelf.has(1)

    await running(audit, begun)
    assert len(shelf.told) < 500
    assert sum(fact.body["count"] for fact in shelf.told) == 100_001


@settings(max_examples=100)
@given(path=st.text(max_size=400))
def test_any_path_can_be_told(path: str) -> None:
    fact = replace(CALL, path=path).fact("audit.called", 1, {})
    assert Fact.from_json(fact.to_json()) == fact and len(fact.to_json()) < 3_000
    fact.to_json().decode().encode("utf-8")
