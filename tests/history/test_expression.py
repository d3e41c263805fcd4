"""The language: what is read, what is refused and where, what units make of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.engine.calculate import Track, evaluate
from lineshaft.rooms.history.engine.expression import Wrong, parse, renamed
from lineshaft.rooms.history.engine.program import Program, compile_expression
from lineshaft.rooms.plant.measures import measure

SIGNALS = {
    path: Signal(at + 1, path, path, kind, unit)
    for at, (path, kind, unit) in enumerate([
        ("p", Kind.FLOAT, "kPa"), ("q", Kind.FLOAT, "bar"), ("t", Kind.FLOAT, "Cel"),
        ("u", Kind.FLOAT, "Cel"), ("f", Kind.FLOAT, "m3/h"), ("n", Kind.INT, ""),
        ("x", Kind.FLOAT, ""), ("y", Kind.FLOAT, "%"), ("on", Kind.BOOL, ""),
        ("odd", Kind.FLOAT, "blobs"), ("s", Kind.STRING, ""), ("cost", Kind.FLOAT, "[EUR]/h"),
    ])
}  # fmt: skip


def compiled(text: str, unit: str | None = None) -> Program:
    return compile_expression(text, unit, SIGNALS.get, measure)


def value(text: str, unit: str | None = None, **values: float) -> float:
    program = compiled(text, unit)
    tracks = [
        Track(np.array([5]), np.array([float(values[s.path])]), np.zeros(1, np.int32))
        for s in program.inputs
    ]
    return float(evaluate(program.root, tracks, 0, 10).v[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"x" - 3 - 2', 5), ('2 ^ 3 ^ 2 + 0 * "x"', 512), ('-"x" ^ 2', -100),
        ('("x" + 2) * -3', -36), ('2 + 3 * "x"', 32), ('"x" / 4 / 5', 0.5), ('+"x"', 10),
        ('if("x" > 3 and not ("x" >= 10 or false), 1, 2)', 2), ('"x" = 10', 1), ('"x" <> 10', 0),
        ("min(\"x\", 3, 7) + max(1, 2) + abs(-4)", 9), ('clamp("x", 0, 4)', 4),
        ('round("x" / 3, 2)', 3.33), ('round("x" / 3)', 3), ('sqrt("x" + 6)', 4),
        ('log(exp("x"))', 10), ('.5 + 1e1 + 2.5E-1 + 0 * "x"', 10.75), ('"x" + 10 %', 10.1),
        ('if(good("x"), 1, 0)', 1),
    ],
)  # fmt: skip
def test_what_an_expression_gives(text: str, expected: float) -> None:
    assert value(text, x=10) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "values", "expected"),
    [
        ('"p" - 2700 kPa', "kPa", {"p": 2705.3}, 2705.3 - 2700),
        ('"p" - 27 bar', "kPa", {"p": 2705.0}, 5), ('"p" + "q"', "bar", {"p": 100, "q": 2}, 3),
        ('"q" + "p"', "Pa", {"p": 100, "q": 2}, 3e5), ('"t" - "u"', "K", {"t": 90, "u": 20}, 70),
        ('"t" + 5 K', "Cel", {"t": 20}, 25), ('5 K + "t"', "Cel", {"t": 20}, 25),
        ('"t"', "K", {"t": 20}, 293.15), ('"t" - 32 [degF]', "K", {"t": 20}, 20),
        ('if("t" > 68 [degF], 1, 0)', "", {"t": 20.1}, 1), ('"f" * 2 h', "l", {"f": 3}, 6000),
        ('"p" * "f"', "kW", {"p": 3600, "f": 2}, 2), ('"p" / "q"', "%", {"p": 50, "q": 1}, 50),
        ('"cost" * 90 min', "[EUR]", {"cost": 2}, 3), ('sqrt("p" * 4 kPa)', "kPa", {"p": 9}, 6),
        ('"p" ^ 2 / "q"', "kPa", {"p": 10, "q": 1}, 1), ('"odd" - "odd"', None, {"odd": 3}, 0),
        ('max("p", "q")', "bar", {"p": 100, "q": 2}, 2), ('"y" + 1', "1", {"y": 50}, 1.5),
    ],
)  # fmt: skip
def test_units_are_converted(
    text: str, unit: str | None, values: dict[str, float], expected: float
) -> None:
    assert value(text, unit, **values) == pytest.approx(expected, rel=1e-12)


def test_a_value_in_its_own_unit_is_not_touched() -> None:
    assert value('"p" - 2700 kPa', "kPa", p=2705.3) == 2705.3 - 2700


@pytest.mark.parametrize(
    ("text", "unit", "kind"),
    [
        ('"p" + 1 bar', "kPa", Kind.FLOAT), ('"t" - "u"', "K", Kind.FLOAT), ('"on"', "", Kind.BOOL),
        ('"t"', "Cel", Kind.FLOAT), ('"p" * "f"', "m2.kg.s-3", Kind.FLOAT),
        ('rate("f")', "m3.s-2", Kind.FLOAT), ('delta("t")', "K", Kind.FLOAT),
        ('avg("f", 10 min)', "m3/h", Kind.FLOAT), ('"s" = \'run\' and "n" > 2', "", Kind.BOOL),
    ],
)  # fmt: skip
def test_the_result_has_a_unit_and_a_kind(text: str, unit: str, kind: Kind) -> None:
    program = compiled(text)
    assert (program.unit, program.kind) == (unit, kind)


@pytest.mark.parametrize(
    ("text", "unit", "column", "said"),
    [
        ("", None, 1, "found the end"), ('"x" +', None, 6, "found the end"),
        ('"x" "y"', None, 5, "expected an operator"), ('("x"', None, 5, "')'"),
        ('"x" $ 2', None, 5, "'$' means nothing"), ('"x', None, 1, "no closing"),
        ("x + 1", None, 1, "no function: a path stands in double quotes"),
        ("sin(\"x\")", None, 1, "there is no function 'sin'; there are abs, avg"),
        ('abs("x", 2)', None, 1, "takes 1 values, not 2"), ('"nope" + 1', None, 1, "no signal"),
        ('"p" - 2700', None, 7, "write a unit after the number, as 5 kPa"),
        ('"p" + "f"', None, 7, "expected kPa, found m3/h"),
        ("1 + 1", None, 1, "at least one signal"),
        ('"p" + 1 furlong', None, 7, "not a unit code"), ('"p"', "m", 1, "the result is in kPa"),
        ('"t" + "u"', None, 5, "have no sum"), ('"t" * 2', None, 1, "whose zero is chosen"),
        ('2 K - "t"', None, 5, "no place after a difference"), ('"t" - "u"', "Cel", 1, "use K"),
        ('"s" + 1', None, 1, "holds texts"), ("\"x\" = 'a'", None, 1, "does not hold texts"),
        ("'a'", None, 1, "only be compared"), ('not "x"', None, 1, "expected true or false"),
        ('"on" + 1', None, 1, "found true or false"), ('if("x", 1, 2)', None, 4, "compare it"),
        ('1 < "x" < 3', None, 9, "joined with 'and'"), ('"on"', "kPa", 1, "true or false"),
        ('avg("x", 10 m)', None, 10, "expected s, found m"),
        ('avg("x", "n")', None, 10, "expected"),
        ('avg("x", 25 h)', None, 10, "1 ms to 24 h"), ("avg(3, 1 min)", None, 5, "needs a signal"),
        ('"p" ^ "x"', None, 7, "must be a plain number"),
        ('exp("p")', None, 5, "expected a number"),
        ('round("x", 1.5)', None, 12, "digits"), ("1e999", None, 1, "too large"),
        ('if("on", 1, "p")', None, 13, "expected a number without unit"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(
    text: str, unit: str | None, column: int, said: str
) -> None:
    with pytest.raises(Wrong) as caught:
        compiled(text, unit)
    assert said in caught.value.plain
    assert caught.value.column == column
    assert len(caught.value.plain) < 400


def test_expressions_are_bounded() -> None:
    for text in ('"x"' + " " * 4000, "(" * 51 + '"x"' + ")" * 51, "-" * 60 + '"x"',
                 "+".join(['"x"'] * 60), "not " * 60 + '"on"'):  # fmt: skip
        with pytest.raises(Wrong):
            compiled(text)
    many = {f"s{i}": Signal(i + 1, f"s{i}", "", Kind.FLOAT) for i in range(33)}
    with pytest.raises(Wrong, match="32 signals"):
        compile_expression("+".join(f'"s{i}"' for i in range(33)), None, many.get, measure)


@settings(max_examples=400)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(['"p"', '"x"', '"s"', "'a'", "1", "2 kPa", "3 %", "(", ")", ",", "+",
                             "-", "*", "^", "<", "=", "and", "not ", "if(", "avg(", "held(",
                             "10 min", "rate(", "min(", " ", "1e400", '"'])
        ).map("".join),
    )
)  # fmt: skip
def test_whatever_is_written_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        program = compiled(text)
    except Refused as refused:
        assert isinstance(refused, Wrong)
        assert 1 <= refused.column <= len(text) + 1
    else:
        assert program.inputs


def test_a_tree_is_made_of_plain_words() -> None:
    assert not math.isnan(parse("1 + 2").depth)  # type: ignore[union-attr]


def test_only_paths_are_renamed() -> None:
    text = """if("a"='"a"',5 [in_i'H2O]+"b", "a")*2 [in_i'H2O]"""
    names = {"a": "bb", "b": "a"}
    assert renamed(text, names) == """if("bb"='"a"',5 [in_i'H2O]+"a", "bb")*2 [in_i'H2O]"""
