"""Whatever is asked, the platform answers in form: a result, or an error in the one form."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.app import describe_api
from tests.web.conftest import House

PATHS: dict[str, Any] = describe_api()["paths"]
READS = {
    path: [p["name"] for p in operations["get"].get("parameters", [])]
    for path, operations in sorted(PATHS.items())
    if "get" in operations and not path.endswith("/live")  # which never ends
}
# Never a real address: what a fuzz finds must not knock at other doors.
WRITES = [
    ("POST", "/api/v1/session"), ("POST", "/api/v1/panel"), ("POST", "/api/v1/sources"),
    ("POST", "/api/v1/opcua/trust"), ("POST", "/api/v1/opcua/distrust"),
    ("POST", "/api/v1/opcua/probe"), ("POST", "/api/v1/opcua/browse"),
    ("PUT", "/api/v1/sources/none"), ("DELETE", "/api/v1/sources/none"),
]  # fmt: skip

IS_JSON = {"Content-Type": "application/json"}

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["0", "1", "1,2", "4611686018427387904", "4611686018427387903", "1e9", "NaN"]),
)
VALUES = st.one_of(NUMBERS, st.text(max_size=40), st.sampled_from(["json", "csv", "arrow"]))
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("\ud800\udfff\0")))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3),
                            st.dictionaries(st.text(max_size=9), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
NAMES = ["code", "endpoint", "thumbprint", "name", "prefix", "policy", "mode", "user", "password",
         "nodes", "speed", "disturbance", "restart", "enabled", "source"]  # fmt: skip


@pytest.fixture(scope="module")
def client(house: House) -> Any:
    headers = {"Authorization": f"Bearer {house.key}"}
    with httpx.Client(base_url=house.url, headers=headers, timeout=60) as client:
        yield client


def judge(answer: httpx.Response) -> None:
    """A 5xx is a bug; a 4xx says what is wrong and what to do."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        content = answer.json()
        assert set(content) == {"code", "message", "hint"}
        assert content["code"] and content["message"]
        assert len(answer.content) < 5_000


@pytest.mark.parametrize("path", READS)
@settings(max_examples=60)
@given(data=st.data())
def test_no_query_breaks_a_read(client: httpx.Client, path: str, data: st.DataObject) -> None:
    names = READS[path]
    query = data.draw(st.dictionaries(st.sampled_from([*names, "other"]), VALUES, max_size=5))
    judge(client.get(path, params=query))


@pytest.mark.parametrize(("method", "path"), WRITES)
@settings(max_examples=60)
@given(
    body=st.one_of(
        JSON, st.dictionaries(st.sampled_from(NAMES), st.one_of(TEXTS, JSON), max_size=9)
    )
)
def test_no_body_breaks_a_write(client: httpx.Client, method: str, path: str, body: Any) -> None:
    content = json.dumps(body)
    if "opc.tcp:" not in content:
        judge(client.request(method, path, content=content.encode(), headers=IS_JSON))


@settings(max_examples=200)
@given(path=st.text(max_size=60))
def test_no_path_breaks_the_doors(client: httpx.Client, path: str) -> None:
    judge(client.get("/api/v1/" + quote(path.strip("./"))))


@pytest.mark.parametrize("path", ["sql", "session/code", "opcua/probe"])
def test_a_path_tells_which_methods_it_takes(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    judge(answer)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_what_is_no_operation_is_looked_for_in_the_console(client: httpx.Client) -> None:
    assert client.get("/").status_code == 200
    for path in ("/api/v1/nothing", "/api/v1/signals/", "/nothing"):
        answer = client.get(path)
        judge(answer)
        assert answer.status_code == 404
