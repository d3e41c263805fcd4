"""The whole API as it describes itself, called with right and wrong things made from that.

Every answer must be in the description: its status, its type, its form; none is a 5xx; what the
description forbids is refused. Calls come from the description and one seed, so a failure comes
again. What a viewer is answered holds nothing of what the platform keeps secret.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lineshaft.app import describe_api
from lineshaft.rooms.connect.store import Secrets
from tests.end_to_end.platform import running
from tests.web.conftest import House
from tests.web.test_exchange import checked, exported, started
from tests.web.test_fuzz import IS_JSON, judge
from tests.web.test_people import PASSWORD, invite, person

pytestmark = pytest.mark.long

SEED = 20_240_229
EXAMPLES = {"administrator": 24, "viewer": 6}
MACHINE = "lineshaft/demo/imports/files/schema"  # where an import puts what has no path
CANARY = "canary-3f9d17c2a5e04b"
LEFT_OUT = {"events": "its answer never ends; tests/web/test_live.py reads it"}
# Whoever calls these is signed out, or locked out for a while, by one of the calls.
SPENDING = {"sign_out", "end_other_sessions", "end_session", "change_password"}
# Another operation of that method has the path, with a parameter in place of its last word.
SHADOWED = {("PUT", "/api/v1/signals/import"), ("PUT", "/api/v1/session/code")}
# What the HTTP server itself refuses has no content: the address or the headers are too long.
BEFORE_US = {414, 431}
DESCRIPTION = describe_api()
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
}
# Never a real address: what is generated must not knock at other doors.
NOWHERE = "opc.tcp://127.0.0.1:1"
QUERIES = [
    *(f"SELECT * FROM {name}" for name in ("samples", "signals", "facts", "gaps", "sources")),
    "SELECT 1 AS \"=cmd|'/C calc'!A1\"", "SELECT chr(0)", "SELECT 'é\u202e'",
    "SELECT 2::HUGEINT ** 100", "SELECT 170141183460469231::HUGEINT",
    "SELECT 'NaN'::DOUBLE, 'inf'::DOUBLE", "SELECT '\\xFF'::BLOB", "SELECT INTERVAL 1 MONTH",
    "SELECT '294247-01-10'::TIMESTAMP, '5877642-06-25 (BC)'::DATE",
    "SELECT uuid(), [1, NULL], {'a': 1}, MAP {'b': 2}", "SELECT 'Infinity'::TIMESTAMP",
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM duckdb_secrets()",
    "COPY (SELECT 1) TO 'x'",
]  # fmt: skip
ODD: list[Any] = [
    None, True, 0, -1, 2**31, 2**53, 2**63, -(2**63) - 1, 10**400, 1e308, 5e-324, float("nan"),
    float("inf"), "", "\0", "\ud800", "a\udfffb", "\u202e\ufeff", "../../etc", "x" * 100_000,
    [], {}, [[[[]]]], ["\ud800"], [10**400], {"\ud800": 1}, {"__proto__": {}},
]  # fmt: skip
ODD_TEXTS = [
    "", "%00", "%ff", "%ed%a0%80", "%", "%E2%80%AE", "%0d%0aX:1", "..%2f..%2fkeys", "NaN", "-1",
    "1e999", "0x1", "+1", "1_0", "%D9%A1", str(2**63), "9" * 400, "1" * 9000,
]  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A platform of its own: what is generated may well delete what another test has stored."""
    folder = tmp_path_factory.mktemp("schema") / "data"
    with running(folder, verb="up", kind=House) as platform:
        assert isinstance(platform, House)
        yield platform


@pytest.fixture(scope="module")
def api() -> Any:
    import schemathesis

    print(f"\nseed {SEED}, schemathesis {schemathesis.__version__}")
    wrong = {"expected-statuses": [400, 401, 403, 404, 405, 409, 413, 422, 429]}
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": wrong}})
    return schemathesis.openapi.from_dict(DESCRIPTION, config=config)


@pytest.fixture(scope="module")
def known(house: House) -> dict[str, dict[str, Any]]:
    """Put something behind the parameters; return, by operation, values that name it."""
    lines = [f"2024-01-0{day}T00:00:00Z,{day}.5,=cmd|x,{CANARY[:3]}" for day in range(1, 9)]
    content = "\n".join(["time,a [kPa],b,c", *lines]).encode()
    done = checked(house, "schema.csv", content)
    started(house, done["id"], skip_problems=True)
    signals = house.get("signals", prefix=MACHINE)["signals"]
    sids = [signal["sid"] for signal in signals]
    export = exported(house, sids=sids, form="csv")
    note = house.post("notes", {"sids": sids[:1], "from": 1, "to": 2, "text": "x"})
    view = house.post("views", {"name": "x", "url": "#/trends", "shared": True})
    made = {"path": f"{MACHINE}/double", "expression": f'2 * "{signals[0]["path"]}"'}
    calculation = house.post("calculations", made)
    victim = invite(house, "operator")[0]
    ids = {
        "/imports/": {"id": done["id"]}, "/exports/": {"id": export["id"]},
        "/files/": {"id": export["id"], "name": export["files"][0]["name"]},
        "/notes/": {"number": note["id"]}, "/views/": {"number": view["id"]},
        "/signals/": {"sid": sids[0]}, "/calculations/": {"number": calculation["id"]},
        "/people/{name}": {"name": victim},
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for name, (method, path, operation) in OPERATIONS.items():
        here = next((of for part, of in reversed(ids.items()) if part in path), None)
        if here and method != "DELETE":
            found.setdefault(name, {})["path_parameters"] = here
        if any(one["name"] == "sid" for one in operation.get("parameters", [])):
            found.setdefault(name, {})["query"] = {"sid": ",".join(map(str, sids)), "from": "0"}
    return found


@pytest.fixture(scope="module")
def secret(house: House) -> Iterator[list[str]]:
    """Plant secrets; return all that the platform keeps and must not tell."""
    _, code = invite(house, "administrator")
    Secrets(house.folder).put("canary", CANARY)
    with person(house, "engineer") as client:
        token = client.post("tokens", json={"name": "x"}).json()["token"]
        keys = [*(house.folder / "keys").rglob("*"), *(house.folder / "run").glob("bus-*.json")]
        texts = [path.read_text().strip() for path in keys if path.is_file()]
        kept = [text for text in texts if 16 <= len(text) < 200 and "{" not in text]
        kept += [json.loads(text)["password"] for text in texts if text.startswith("{")]
        with closing(sqlite3.connect(house.folder / "records.sqlite", timeout=20)) as records:
            for column in ("accounts.password_hash", "invitations.code_hash",
                           "tokens.secret_hash", "sessions.token_hash"):  # fmt: skip
                table, _, name = column.partition(".")
                rows = records.execute(f"SELECT {name} FROM {table}").fetchall()
                assert rows, column
                kept += [row[0] for row in rows if row[0]]
        cookie = client.cookies["lineshaft_session"]
        yield [CANARY, PASSWORD, code, token, cookie, house.key, *kept]


class Caller:
    """Somebody who calls, and what may not be among the answers."""

    def __init__(self, house: House, client: Any, secret: list[str]) -> None:
        self.url, self.session, self._secret = house.url, requests.Session(), secret
        self.session.headers["X-Lineshaft"] = "1"
        self.session.cookies.update(dict(client.cookies))

    def look(self, answer: requests.Response) -> requests.Response:
        """Refuse an answer that tells a secret."""
        text = answer.content.decode("latin-1") + str(answer.headers)
        assert not [one for one in self._secret if one in text], answer.request.url
        return answer


@pytest.fixture(scope="module")
def callers(house: House, secret: list[str]) -> Iterator[Callable[[str, str], Caller]]:
    """Return who calls an operation in a role: the same one, or one to be spent."""
    with ExitStack() as stack:
        made: dict[str, Caller] = {}

        def caller(role: str, operation: str) -> Caller:
            name = f"{role} {operation}" if operation in SPENDING else role
            if name not in made:
                client = stack.enter_context(person(house, role))
                cookie = client.cookies["lineshaft_session"]
                others = [*secret, cookie] if role == "viewer" else []
                made[name] = Caller(house, client, others)
            return made[name]

        yield caller


def harmless(body: Any) -> Any:
    """Return the body with addresses that lead nowhere."""
    if isinstance(body, dict) and isinstance(body.get("endpoint"), str):
        return body | {"endpoint": NOWHERE if ":" in body["endpoint"] else body["endpoint"]}
    return body


# What removes things comes last, so that there is something to the others.
NAMES = sorted(
    OPERATIONS.keys() - LEFT_OUT, key=lambda name: (OPERATIONS[name][0] == "DELETE", name)
)


BODIES = [name for name in NAMES if "application/json" in
          OPERATIONS[name][2].get("requestBody", {}).get("content", {})]  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_no_odd_value_in_a_body_breaks_an_operation(
    api: Any, known: dict[str, Any], callers: Callable[[str, str], Caller], name: str
) -> None:
    """Every field of a good body, in turn, holds each of the odd values, and so does the whole."""
    from schemathesis import GenerationMode

    caller, (method, path, _) = callers("administrator", name), OPERATIONS[name]
    cases = api.iter_coverage_cases(
        api[path][method], generation_modes=[GenerationMode.POSITIVE],
        generation_config=api.config.generation,
    )  # fmt: skip
    good = max((case.body for case in cases if isinstance(case.body, dict)), key=len)
    if name == "sql":
        good |= {"query": "SELECT * FROM samples", "limit": 10}
    if name == "check_import":
        good = {"form": ask_form(caller, known[name]["path_parameters"]["id"])}
    where = caller.url + path.format(**known.get(name, {}).get("path_parameters", {
        part: "999999" for part in ("id", "number", "name", "sid", "source_id")
    }))  # fmt: skip

    def send(body: Any) -> None:
        content = json.dumps(harmless(body)).encode()
        answer = caller.session.request(method, where, data=content, headers=IS_JSON, timeout=60)
        judge(caller.look(answer))

    for odd in ODD:
        send(odd)
        for place in places(good):
            send(replaced(good, place, odd))
    for content in (
        b"",
        b"{",
        b"\xff\xfe{\0}\0",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\0",
        b"1e999",
    ):
        answer = caller.session.request(method, where, data=content, headers=IS_JSON, timeout=60)
        judge(answer)


def ask_form(caller: Caller, number: int) -> Any:
    return caller.session.get(f"{caller.url}/api/v1/imports/{number}", timeout=60).json()["form"]


def places(body: Any) -> Iterator[tuple[Any, ...]]:
    """Hand out the way to every field in a body; of a list, to the first."""
    inner = body.items() if isinstance(body, dict) else enumerate(body[:1])
    for key, value in inner:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *rest) for rest in places(value))


def replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return the body with another value at a place."""
    if not place:
        return value
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[place[0]] = replaced(body[place[0]], place[1:], value)
    return copy


QUERIED = [name for name in NAMES if OPERATIONS[name][2].get("parameters")]


@pytest.mark.parametrize("name", QUERIED)
def test_no_odd_text_in_an_address_breaks_an_operation(
    known: dict[str, Any], callers: Callable[[str, str], Caller], name: str
) -> None:
    """Every parameter, in turn, holds each of the odd texts, beside good ones."""
    caller, (method, path, operation) = callers("administrator", name), OPERATIONS[name]
    good = known.get(name, {})
    for one in operation["parameters"]:
        for odd in ODD_TEXTS:
            query = good.get("query", {}) | ({one["name"]: odd} if one["in"] == "query" else {})
            parts = {"source_id": "x", "id": "999999", "number": "999999", "sid": "999999",
                     "name": "x"} | good.get("path_parameters", {})  # fmt: skip
            parts |= {one["name"]: odd} if one["in"] == "path" else {}
            where = path.format(**parts) + "?" + "&".join(f"{k}={v}" for k, v in query.items())
            request = requests.Request(method, caller.url, data=None if method == "GET" else "{}")
            ready = caller.session.prepare_request(request)
            ready.url = caller.url + where  # as it is: requests would mend it
            answer = caller.session.send(ready, timeout=60, allow_redirects=False)
            if answer.status_code not in BEFORE_US:
                judge(caller.look(answer))


@pytest.mark.parametrize("format", ["json", "csv", "arrow"])
@pytest.mark.parametrize("role", EXAMPLES)
def test_no_result_of_sql_is_too_odd_or_tells_too_much(
    known: dict[str, Any], callers: Callable[[str, str], Caller], role: str, format: str
) -> None:
    caller = callers(role, "sql")
    for query in QUERIES:
        body = {"query": query, "format": format}
        answer = caller.session.post(f"{caller.url}/api/v1/sql", json=body, timeout=60)
        judge(caller.look(answer))
        if format == "csv" and answer.ok:
            assert not any(
                line.startswith(('"=', "=", "+", "@")) for line in answer.text.split("\n")
            )


def test_the_secrets_are_those_that_there_are(
    secret: list[str], callers: Callable[[str, str], Caller]
) -> None:
    """The check for secrets can fail: it knows many, and finds the one that a person may see."""
    assert len(set(secret)) >= 12 and min(map(len, secret)) >= 16
    caller = callers("viewer", "who")
    tokens = f"{caller.url}/api/v1/tokens"
    answer = caller.session.post(tokens, json={"name": secret[0]}, timeout=60)
    with pytest.raises(AssertionError):
        caller.look(answer)
    assert caller.session.delete(f"{tokens}/{answer.json()['id']}", timeout=60).ok


@pytest.mark.parametrize("role", EXAMPLES)
@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_described(
    api: Any, known: dict[str, Any], callers: Callable[[str, str], Caller], name: str, role: str
) -> None:
    from schemathesis import GenerationMode, checks
    from schemathesis.specs.openapi import checks as described

    caller, (method, path, _) = callers(role, name), OPERATIONS[name]
    judged = [
        checks.not_a_server_error, described.status_code_conformance,
        described.content_type_conformance, described.response_headers_conformance,
        described.response_schema_conformance, described.negative_data_rejection,
    ]  # fmt: skip

    def call(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body = harmless(case.body)
        sent = {"base_url": caller.url, "session": caller.session}
        answer = case.call(**sent, timeout=60, allow_redirects=False)
        caller.look(answer)
        if answer.status_code in BEFORE_US and not answer.content:
            return
        extra = [] if (case.method, path) in SHADOWED else [described.unsupported_method]
        case.validate_response(answer, checks=judged + extra)

    modes, operation = list(GenerationMode), api[path][method]
    if role == "administrator":
        for case in api.iter_coverage_cases(
            operation, generation_modes=modes, generation_config=api.config.generation
        ):
            call(case)
    strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]
    if name in known:
        strategies.append(operation.as_strategy(**known[name]))
    quiet = settings(
        max_examples=EXAMPLES[role], database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    quiet(seed(SEED)(given(st.one_of(strategies))(call)))()
