"""Facts, paths, qualities, errors: the small words keep their promises."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.paths import check_path, slug
from lineshaft.core.quality import BAD, GOOD, UNCERTAIN, Reason, bad, describe, uncertain

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_facts = st.builds(
    Fact,
    kind=st.sampled_from(["link.lost", "link.gap"]),
    at=st.integers(0, 2**62),
    subject=st.text(),
    body=st.dictionaries(st.text(), _json, max_size=4),
    cause=st.none() | st.text(),
)


@given(_facts)
def test_a_fact_survives_the_wire_and_keeps_its_id(fact: Fact) -> None:
    back = Fact.from_json(fact.to_json())
    assert back == fact
    assert back.id == fact.id


@given(_facts)
def test_the_order_of_a_body_does_not_change_the_id(fact: Fact) -> None:
    turned = Fact(fact.kind, fact.at, fact.subject, dict(reversed(fact.body.items())), fact.cause)
    assert turned.id == fact.id
    assert Fact(fact.kind, fact.at + 1, fact.subject, fact.body, fact.cause).id != fact.id


_FACT = {"kind": "link.lost", "at": 5, "subject": "s", "body": {}, "cause": None}


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b"[" * 100_000,
        json.dumps(_FACT | {"at": "soon"}).encode(),
        json.dumps(_FACT | {"at": None}).encode(),
        json.dumps(_FACT).replace("5", "1e999").encode(),
        json.dumps(_FACT).replace("5", "NaN").encode(),
        json.dumps(_FACT).replace("5", "9" * 5000).encode(),
        json.dumps(_FACT | {"body": 5}).encode(),
        json.dumps(_FACT | {"body": "text"}).encode(),
        json.dumps(_FACT | {"cause": ["a"]}).encode(),
        json.dumps(_FACT | {"kind": None}).encode(),
        json.dumps(_FACT | {"subject": "x" * 300_000}).encode(),
        json.dumps({"kind": "link.lost"}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_fact_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Fact.from_json(raw)
    assert refused.value.code in {"fact.form", "fact.size"}
    assert len(str(refused.value)) < 400


@given(st.binary(max_size=200) | _json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_fact_or_refused(raw: bytes) -> None:
    with suppress(Refused):
        Fact.from_json(raw)


@given(st.text())
def test_a_slug_is_a_level_of_a_path(text: str) -> None:
    level = slug(text)
    assert check_path(f"a/b/c/d/e/{level}").endswith(level)
    assert slug(level) == level


@pytest.mark.parametrize(
    ("path", "prefix", "code"),
    [
        ("a/b/c/d/e", False, "path.levels"),
        ("a/b/c", True, "path.levels"),
        ("a/b/c/d/e", True, "path.levels"),
        ("/".join("abcdefghijklm"), False, "path.levels"),
        ("", False, "path.levels"),
        ("a/b/c/d/e/F", False, "path.level"),
        ("a/b/c/d/e/ ", False, "path.level"),
        ("a/b/c/d/e/f\n", False, "path.level"),
        ("a/b//d/e/f", False, "path.level"),
        ("a/b/c/d/e/*", False, "path.level"),
        ("a/b/c/d/e/x.y", False, "path.level"),
        ("a/b/c/d/e/" + "x" * 65, False, "path.level"),
    ],
)
def test_a_wrong_path_is_refused_with_its_level(path: str, prefix: bool, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_path(path, prefix=prefix)
    assert refused.value.code == code
    assert refused.value.hint


def test_paths_of_the_demo_plant_are_right() -> None:
    path = "lineshaft/demo/chem/tep/reactor/pressure"
    assert check_path(path) == path
    assert check_path("lineshaft/demo/chem/tep", prefix=True) == "lineshaft/demo/chem/tep"


@pytest.mark.parametrize("reason", list(Reason))
def test_a_quality_is_its_class_and_its_reason(reason: Reason) -> None:
    assert (uncertain(reason) // 256 * 256, uncertain(reason) % 256) == (UNCERTAIN, reason)
    assert (bad(reason) // 256 * 256, bad(reason) % 256) == (BAD, reason)
    assert describe(bad(reason)).startswith("bad")
    assert describe(uncertain(reason)).startswith("uncertain")


def test_qualities_in_words() -> None:
    assert [describe(q) for q in (GOOD, UNCERTAIN, BAD + 1, BAD + 200)] == [
        "good", "uncertain", "bad/clock", "bad/200",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("no", hint="ask", code="a.b"), 400),
        (Refused("no", hint="ask", code="a.b", status=409), 409),
        (Broken("no", hint="ask", code="a.b"), 503),
        (Broken("no", hint="ask", code="a.b", retryable=False), 500),
    ],
)
def test_an_error_says_what_and_what_to_do(error: LineshaftError, status: int) -> None:
    expected: dict[str, Any] = {"code": "a.b", "message": "no", "hint": "ask"}
    assert error.as_dict() == expected
    assert str(error) == "no. ask"
    assert error.status == status
