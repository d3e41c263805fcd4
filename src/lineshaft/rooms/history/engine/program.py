"""What an expression means: signals found, types and units checked, conversions computed.

Rules: values stay in the unit of the left or first operand, and the others are converted to it; a
factor that is not needed is not applied. A value on a scale with its own zero (degrees Celsius) is
a point: points differ by a difference (kelvin), a point moves by a difference, nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lineshaft.core.measures import NUMBER, Measure
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.engine.calculate import (
    Change,
    Choose,
    Const,
    Held,
    Input,
    IsGood,
    Pointwise,
    Previous,
    Scaled,
    Step,
    TextIs,
    Window,
)
from lineshaft.rooms.history.engine.expression import (
    Binary,
    Call,
    Flag,
    Node,
    Number,
    Path,
    Text,
    Unary,
    Wrong,
    parse,
)

__all__ = ["MAX_INPUTS", "Meanings", "Program", "compile_expression"]

MAX_INPUTS: Final = 32
_LONGEST_US: Final = 86_400_000_000
_BASE: Final = {"length": "m", "mass": "kg", "time": "s", "temperature": "K", "current": "A",
                "substance": "mol", "luminosity": "cd"}  # fmt: skip
_SECONDS: Final = Measure((("time", 1.0),))
Meanings = Callable[[str], Measure | None]


@dataclass(frozen=True, slots=True)
class Program:
    """An expression that may be evaluated: its value is of `kind`, in `unit`."""

    root: Step
    inputs: tuple[Signal, ...]
    kind: Kind
    unit: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A step and what it gives: a measure, or None for true and false; `unit` names it, `column` is
    where it stands."""

    step: Step
    measure: Measure | None
    unit: str = ""
    column: int = 1

    @property
    def said(self) -> str:
        if self.measure is None:
            return "true or false"
        return self.unit or _base_unit(self.measure) or "a number without unit"


def compile_expression(
    text: str, unit: str | None, find: Callable[[str], Signal | None], meanings: Meanings
) -> Program:
    """Return what an expression means; raise Wrong with the column of the first mistake.

    `unit` is the one declared for the result, None takes what comes out; `find` knows which signal
    a path in the text means, `meanings` the UCUM codes.
    """
    compiler = _Compiler(find, meanings)
    value = compiler.value(parse(text))
    if not compiler.inputs:
        raise Wrong(1, 'an expression names at least one signal, as "site/…/pressure"')
    if value.measure is None:
        if unit:
            raise Wrong(1, f"the result is true or false; it cannot be in '{unit}'")
        return Program(value.step, tuple(compiler.inputs), Kind.BOOL, "")
    if unit is None:
        made = _base_unit(value.measure) if not value.unit else value.unit
        if not value.unit and value.measure.factor != 1.0:
            value = compiler.converted(value, replace(value.measure, factor=1.0, offset=0.0))
        return Program(value.step, tuple(compiler.inputs), Kind.FLOAT, made)
    declared, measure = compiler.measure(unit, 1), value.measure or NUMBER
    if declared.dimension != measure.dimension:
        raise Wrong(1, f"the result is in {value.said}, which is not '{unit or '1'}'")
    if declared.offset and not measure.offset:
        raise Wrong(1, f"the result is a difference; '{unit}' has a zero of its own: use K")
    value = compiler.converted(value, declared)
    return Program(value.step, tuple(compiler.inputs), Kind.FLOAT, unit)


def _base_unit(measure: Measure) -> str:
    """Return the UCUM code of a measure's base units."""
    parts = [f"{_BASE.get(n, n)}{'' if e == 1 else f'{e:g}'}" for n, e in measure.dimension]
    return ".".join(parts)


class _Compiler:
    def __init__(self, find: Callable[[str], Signal | None], meanings: Meanings) -> None:
        self._find, self._meanings = find, meanings
        self.inputs: list[Signal] = []
        self._numbers: dict[str, int] = {}

    def value(self, node: Node) -> _Value:
        return replace(self._value(node), column=node.column)

    def _value(self, node: Node) -> _Value:
        match node:
            case Number(column, value, unit):
                return _Value(Const(value=value), self.measure(unit, column), unit)
            case Flag(_, value):
                return _Value(Const(value=float(value)), None)
            case Path():
                return self._signal(node)
            case Text(column):
                raise Wrong(column, "a text can only be compared with a string signal, by = or !=")
            case Unary(column, op, of):
                return self._unary(column, op, of)
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)

    def measure(self, unit: str, column: int) -> Measure:
        found = self._meanings(unit)
        if found is None:
            raise Wrong(column, f"'{unit[:64]}' is not a unit code of UCUM that is known here")
        return found

    def _number_of(self, node: Path) -> tuple[int, Signal]:
        number = self._numbers.get(node.path)
        if number is None:
            found = self._find(node.path)
            if found is None:
                raise Wrong(node.column, f"there is no signal '{node.path[:200]}'")
            if found not in self.inputs:
                if len(self.inputs) == MAX_INPUTS:
                    raise Wrong(node.column, f"an expression may name {MAX_INPUTS} signals")
                self.inputs.append(found)
            number = self._numbers[node.path] = self.inputs.index(found)
        return number, self.inputs[number]

    def _signal(self, node: Path) -> _Value:
        number, signal = self._number_of(node)
        if signal.kind == Kind.STRING:
            raise Wrong(node.column, f"'{signal.path}' holds texts: compare it, as in = 'running'")
        if signal.kind == Kind.BOOL:
            return _Value(Input(number=number), None)
        # A machine's own unit that nobody knows still is the same as itself.
        known = self._meanings(signal.unit) or Measure(((f"{{{signal.unit}}}", 1.0),))
        return _Value(Input(number=number), known, signal.unit)

    def _unary(self, column: int, op: str, of: Node) -> _Value:
        one = replace(self.value(of), column=column)
        if op == "not":
            return _Value(Pointwise((self.flag(one).step,), name="not"), None)
        measure = self.plain(one, "a sign")
        if isinstance(one.step, Const):
            return replace(one, step=Const(value=-one.step.value))
        return _Value(Pointwise((one.step,), name="neg"), measure, one.unit)

    def _binary(self, node: Binary) -> _Value:
        if node.op in {"=", "!="} and isinstance(node.right, Text):
            return self._text_is(node.left, node.right, node.op, node.column)
        if node.op in {"=", "!="} and isinstance(node.left, Text):
            return self._text_is(node.right, node.left, node.op, node.column)
        left, right = self.value(node.left), self.value(node.right)
        if node.op in {"+", "-"}:
            return self._sum(node, left, right)
        if node.op in {"*", "/", "^"}:
            return self._product(node, left, right)
        if node.op in {"and", "or"}:
            steps = self.flag(left).step, self.flag(right).step
        else:
            flags = left.measure is None and right.measure is None and node.op in {"=", "!="}
            steps = left.step, (right if flags else self.alike(left, right)).step
        return _Value(Pointwise(steps, name=node.op), None)

    def _text_is(self, signal: Node, text: Text, op: str, column: int) -> _Value:
        if not isinstance(signal, Path):
            raise Wrong(column, "a text can only be compared with a string signal")
        number, found = self._number_of(signal)
        if found.kind != Kind.STRING:
            raise Wrong(signal.column, f"'{found.path}' does not hold texts")
        same: Step = TextIs(number=number, text=text.value)
        return _Value(same if op == "=" else Pointwise((same,), name="not"), None)

    def _sum(self, node: Binary, left: _Value, right: _Value) -> _Value:
        one, other = self.number(left), self.number(right)
        if one.dimension != other.dimension:
            raise self._differ(left, right)
        if other.offset and not one.offset:
            if node.op == "-":
                raise Wrong(node.column, f"a value in {right.said} has no place after a difference")
            left, right, one, other = right, left, other, one
        if one.offset and other.offset:
            if node.op == "+":
                raise Wrong(node.column, f"two values in {left.said} have no sum; a difference is "
                            "written in K")  # fmt: skip
            steps = left.step, self.converted(right, one).step
            unit = "K" if left.unit == "Cel" else ""
            return _Value(Pointwise(steps, name="-"), Measure(one.dimension, one.factor), unit)
        right = self.converted(right, Measure(one.dimension, one.factor))
        return _Value(Pointwise((left.step, right.step), name=node.op), one, left.unit)

    def _product(self, node: Binary, left: _Value, right: _Value) -> _Value:
        self.number(left), self.number(right)
        one, other = (self.plain(each, f"'{node.op}'") for each in (left, right))
        if node.op == "^":
            return self._power(left, right)
        made = one.times(other, 1.0 if node.op == "*" else -1.0)
        unit = left.unit if other == NUMBER else ""
        if node.op == "*" and one == NUMBER:
            unit = right.unit
        return _Value(Pointwise((left.step, right.step), name=node.op), made, unit)

    def _power(self, left: _Value, right: _Value) -> _Value:
        base = left.measure or NUMBER
        right = self.plain_number(right)
        step = Pointwise((left.step, right.step), name="^")
        if not base.dimension and base.factor == 1:
            return _Value(step, NUMBER)
        if not isinstance(right.step, Const):
            raise Wrong(right.column, f"the exponent of a value in {left.said} must be a "
                        "plain number")  # fmt: skip
        return _Value(step, NUMBER.times(base, right.step.value))

    def _call(self, node: Call) -> _Value:
        rule = _FUNCTIONS.get(node.name)
        if rule is None:
            names = ", ".join(sorted(_FUNCTIONS))
            raise Wrong(node.column, f"there is no function '{node.name[:40]}'; there are {names}")
        least, most, make = rule
        if not least <= len(node.of) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise Wrong(node.column, f"'{node.name}' takes {wanted} values, not {len(node.of)}")
        return make(self, node, [self.value(one) for one in node.of])

    def width(self, of: list[_Value]) -> int:
        """Return the window that is written as the second value, in µs."""
        column, step = of[1].column, of[1].step
        seconds = self.alike(_Value(Const(), _SECONDS, "s"), of[1]).step
        if not isinstance(step, Const) or not isinstance(seconds, Const):
            raise Wrong(column, "expected a duration, as 10 min")
        found = round(seconds.value * 1e6)
        if not 1000 <= found <= _LONGEST_US:
            raise Wrong(column, "a window lasts from 1 ms to 24 h")
        return found

    @staticmethod
    def varies(node: Call, one: _Value) -> _Value:
        """Return the value; refuse one that no signal is in."""
        if not one.step.inputs:
            raise Wrong(one.column, f"'{node.name}' needs a signal here")
        return one

    def difference(self, one: _Value) -> tuple[Measure, str]:
        """Return the measure and unit of a difference of such values."""
        measure = self.number(one)
        unit = one.unit if not measure.offset else "K" if one.unit == "Cel" else ""
        return Measure(measure.dimension, measure.factor), unit

    def plain_number(self, one: _Value) -> _Value:
        """Return the value as a number without unit."""
        return self.alike(_Value(Const(), NUMBER), one)

    @staticmethod
    def converted(one: _Value, to: Measure) -> _Value:
        """Return a value in another measure of the same dimension."""
        have = one.measure or NUMBER
        if have.factor == to.factor and have.offset == to.offset:
            return one
        factor, offset = have.factor / to.factor, (have.offset - to.offset) / to.factor
        if isinstance(one.step, Const):
            return _Value(Const(value=one.step.value * factor + offset), to, "", one.column)
        return _Value(Scaled((one.step,), factor=factor, offset=offset), to, "", one.column)

    def alike(self, left: _Value, right: _Value) -> _Value:
        """Return the second value in the measure of the first; refuse where there is none."""
        one, other = left.measure, right.measure
        if one is None or other is None:
            if one is other:
                return right
            raise self._differ(left, right)
        if one.dimension != other.dimension or bool(one.offset) != bool(other.offset):
            raise self._differ(left, right)
        return self.converted(right, one)

    @staticmethod
    def _differ(left: _Value, right: _Value) -> Wrong:
        bare = right.measure == NUMBER and isinstance(right.step, Const) and left.unit
        hint = f"; write a unit after the number, as 5 {left.unit}" if bare else ""
        return Wrong(right.column, f"expected {left.said}, found {right.said}{hint}")

    @staticmethod
    def number(one: _Value) -> Measure:
        """Return the measure; refuse true and false."""
        if one.measure is None:
            raise Wrong(one.column, "expected a number, found true or false; use if(…, 1, 0)")
        return one.measure

    def plain(self, one: _Value, what: str) -> Measure:
        """Return the measure; refuse true, false and what has a zero of its own."""
        measure = self.number(one)
        if measure.offset:
            raise Wrong(one.column, f"{what} has no meaning for a value in {one.said}, whose zero "
                        "is chosen; subtract another first")  # fmt: skip
        return measure

    @staticmethod
    def flag(one: _Value) -> _Value:
        """Return the value; refuse what is not true or false."""
        if one.measure is not None:
            raise Wrong(one.column, f"expected true or false, found {one.said}; compare it first")
        return one


_Make = Callable[[_Compiler, Call, list[_Value]], _Value]


def _same(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    steps = of[0].step, *(c.alike(of[0], one).step for one in of[1:])
    c.number(of[0])
    return replace(of[0], step=Pointwise(steps, name=node.name))


def _absolute(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    c.plain(of[0], f"'{node.name}'")
    return replace(of[0], step=Pointwise((of[0].step,), name="abs"))


def _root(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    made = NUMBER.times(c.plain(of[0], f"'{node.name}'"), 0.5)
    return _Value(Pointwise((of[0].step,), name="sqrt"), made)


def _of_number(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    return _Value(Pointwise((c.plain_number(of[0]).step,), name=node.name), NUMBER)


def _rounded(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    c.number(of[0])
    digits = of[1].step if len(of) > 1 else Const()
    plain = len(of) == 1 or of[1].measure == NUMBER
    if not (plain and isinstance(digits, Const) and digits.value in range(-15, 16)):
        raise Wrong(of[-1].column, "expected how many digits stay, -15 to 15")
    shift = Const(value=10.0**digits.value)
    moved = Pointwise((of[0].step, shift), name="*")
    back = Pointwise((Pointwise((moved,), name="round"), shift), name="/")
    return replace(of[0], step=back)


def _if(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    steps = c.flag(of[0]).step, of[1].step, c.alike(of[1], of[2]).step
    return replace(of[1], step=Choose(steps))


def _good(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    return _Value(IsGood((c.varies(node, of[0]).step,)), None)


def _previous(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    return replace(of[0], step=Previous((c.varies(node, of[0]).step,)))


def _held(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    return replace(of[0], step=Held((c.varies(node, of[0]).step,), width=c.width(of)))


def _window(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    c.number(of[0])
    step = Window((c.varies(node, of[0]).step,), name=node.name, width=c.width(of))
    return replace(of[0], step=step)


def _change(c: _Compiler, node: Call, of: list[_Value]) -> _Value:
    measure, unit = c.difference(of[0])
    rate = node.name == "rate"
    width = c.width(of) if len(of) > 1 else 0
    step = Change((c.varies(node, of[0]).step,), rate=rate, width=width)
    return _Value(step, measure.times(_SECONDS, -1.0) if rate else measure, "" if rate else unit)


_FUNCTIONS: Final[dict[str, tuple[int, int, _Make]]] = {
    "abs": (1, 1, _absolute), "avg": (2, 2, _window), "clamp": (3, 3, _same),
    "delta": (1, 2, _change), "exp": (1, 1, _of_number), "good": (1, 1, _good),
    "held": (2, 2, _held), "highest": (2, 2, _window), "if": (3, 3, _if),
    "log": (1, 1, _of_number), "lowest": (2, 2, _window), "max": (2, 16, _same),
    "min": (2, 16, _same), "previous": (1, 1, _previous), "rate": (1, 2, _change),
    "round": (1, 2, _rounded), "sqrt": (1, 1, _root),
}  # fmt: skip
