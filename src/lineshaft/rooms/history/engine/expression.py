"""The language of calculated signals: text to a tree.

    "site/…/reactor/pressure" - 2700 kPa          paths in double quotes, units after numbers
    if(avg("…/flow", 10 min) > 3 m3/h and "…/open", 1, 0)
    "…/state" = 'running'                         texts in single quotes

From loose to tight: `or`; `and`; `not`; comparison (`= != < <= > >=`, not chained); `+ -`; `* /`;
sign; `^` (to the right). A unit is a UCUM code without spaces. Bounded: 4,000 characters, depth 50.
Nothing here is ever executed; the first mistake is told with its column (from 1).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lineshaft.core.errors import Refused

__all__ = [
    "MAX_DEPTH", "MAX_LENGTH", "Binary", "Call", "Flag", "Node", "Number", "Path", "Text", "Unary",
    "Wrong", "parse", "renamed",
]  # fmt: skip

MAX_LENGTH: Final = 4000
MAX_DEPTH: Final = 50


class Wrong(Refused):
    """A mistake in an expression, at `column` (from 1)."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(
            f"{message} (column {column})", code="expression.wrong", status=422,
            hint="POST /calculations/check says what an expression means",
        )  # fmt: skip
        self.column, self.plain = column, message


@dataclass(frozen=True, slots=True)
class Number:
    """`5 kPa`: a number and its UCUM code, empty where it has none."""

    column: int
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Path:
    """A signal, by its path."""

    column: int
    path: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text to compare a string signal with."""

    column: int
    value: str


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    column: int
    value: bool


@dataclass(frozen=True, slots=True)
class Unary:
    """`-` or `not`."""

    column: int
    op: str
    of: "Node"
    depth: int


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two values."""

    column: int
    op: str
    left: "Node"
    right: "Node"
    depth: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function of some values."""

    column: int
    name: str
    of: tuple["Node", ...]
    depth: int


Node = Number | Path | Text | Flag | Unary | Binary | Call

_ATOM = r"(?:[A-Za-z%]+(?:\[[^\]\s]*\])?|\[[^\]\s]*\])(?:[+-]?\d+)?(?:\{[^}\s]*\})?"
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r'|"(?P<path>[^"]*)"'
    r"|'(?P<text>(?:[^']|'')*)'"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><=|>=|==|!=|<>|[-+*/^(),<>=]))"
)
_UNIT: Final = re.compile(rf"\s*({_ATOM}(?:[./]{_ATOM})*)")
_WORDS: Final = {"and", "or", "not", "true", "false", "if"}
_POWER: Final = {"or": 10, "and": 20, "=": 40, "!=": 40, "<": 40, "<=": 40, ">": 40, ">=": 40,
                 "+": 50, "-": 50, "*": 60, "/": 60, "^": 80}  # fmt: skip
_NOT, _SIGN, _COMPARE = 30, 70, 40
_SPELLED: Final = {"==": "=", "<>": "!="}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, path, text, word, sign, end
    text: str
    column: int
    unit: str = ""


def parse(text: str) -> Node:
    """Return the tree of an expression; raise Wrong for the first mistake."""
    if len(text) > MAX_LENGTH:
        raise Wrong(MAX_LENGTH + 1, f"an expression may have {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text))
    node = parser.expression(0, 1)
    parser.expect_end()
    return node


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return an expression with other paths in the place of these.

    >>> renamed('"a/b" > 1 m', {"a/b": "c"})
    '"c" > 1 m'
    """
    for token in reversed(_tokens(text)):
        if token.kind == "path" and token.text in names:
            end = token.column + len(token.text)
            text = text[: token.column] + names[token.text] + text[end:]
    return text


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise Wrong(start + 1, _odd(text[start]))
        kind = str(match.lastgroup)
        column, content, unit = match.start(kind) + 1, match[kind], ""
        if kind in {"path", "text"}:
            column -= 1
        at = match.end()
        if kind == "number":
            named = _UNIT.match(text, at)
            if named and named[1] not in _WORDS and not text[named.end() :].startswith("("):
                unit, at = named[1], named.end()
        elif kind == "text":
            content = content.replace("''", "'")
        elif kind == "sign":
            content = _SPELLED.get(content, content)
        found.append(_Token(kind, content, column, unit))
    found.append(_Token("end", "", len(text) + 1))
    return found


def _odd(character: str) -> str:
    if character in "\"'":
        return f"the text that begins here has no closing {character}"
    return f"'{character}' means nothing here; a path stands in double quotes"


class _Parser:
    """Pratt, "Top Down Operator Precedence" (1973)."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def expression(self, power: int, depth: int) -> Node:
        """Return what stands here up to an operator that binds no tighter than `power`."""
        if depth > MAX_DEPTH:
            raise Wrong(self._next.column, f"brackets or signs go deeper than {MAX_DEPTH}")
        left = self._first(depth)
        while (binds := self._binds(self._next)) > power:
            token = self._take()
            right = self.expression(binds - (token.text == "^"), depth + 1)
            left = Binary(token.column, token.text, left, right, _deep(token, left, right))
            if binds == _COMPARE and self._binds(self._next) == _COMPARE:
                raise Wrong(self._next.column, "comparisons are joined with 'and', as in "
                            "1 < x and x < 3")  # fmt: skip
        return left

    @staticmethod
    def _binds(token: _Token) -> int:
        return _POWER.get(token.text, 0) if token.kind in {"sign", "word"} else 0

    def _first(self, depth: int) -> Node:
        token = self._take()
        match token.kind:
            case "number":
                value = float(token.text)
                if value == float("inf"):
                    raise Wrong(token.column, "this number is too large")
                return Number(token.column, value, token.unit)
            case "path":
                return Path(token.column, token.text)
            case "text":
                return Text(token.column, token.text)
            case "word":
                return self._word(token, depth)
            case "sign" if token.text == "(":
                inner = self.expression(0, depth + 1)
                self._expect(")", "an operator or ')'")
                return inner
            case "sign" if token.text in "+-":
                of = self.expression(_SIGN, depth + 1)
                return of if token.text == "+" else Unary(token.column, "-", of, _deep(token, of))
        raise Wrong(token.column, f"expected a path, a number or a function, found {_named(token)}")

    def _word(self, token: _Token, depth: int) -> Node:
        if token.text in {"true", "false"}:
            return Flag(token.column, token.text == "true")
        if token.text == "not":
            of = self.expression(_NOT, depth + 1)
            return Unary(token.column, "not", of, _deep(token, of))
        if self._next.text != "(" or token.text in {"and", "or"}:
            raise Wrong(token.column, f"'{token.text}' is no function: a path stands in double "
                        "quotes, a text in single ones")  # fmt: skip
        self._take()
        values = [self.expression(0, depth + 1)]
        while self._next.kind == "sign" and self._next.text == ",":
            self._take()
            values.append(self.expression(0, depth + 1))
        self._expect(")", "an operator, ',' or ')'")
        return Call(token.column, token.text, tuple(values), _deep(token, *values))

    def _expect(self, sign: str, said: str) -> None:
        token = self._take()
        if token.kind != "sign" or token.text != sign:
            raise Wrong(token.column, f"expected {said}, found {_named(token)}")

    def expect_end(self) -> None:
        """Refuse what stands after a whole expression."""
        if self._next.kind != "end":
            raise Wrong(self._next.column, f"expected an operator, found {_named(self._next)}")


def _deep(token: _Token, *of: Node) -> int:
    """Return the depth of a tree over these; a long chain of operators is deep too."""
    depth = 1 + max(getattr(one, "depth", 1) for one in of)
    if depth > MAX_DEPTH:
        raise Wrong(token.column, f"more than {MAX_DEPTH} steps follow from one another; use "
                    "brackets to balance them")  # fmt: skip
    return depth


def _named(token: _Token) -> str:
    return "the end" if token.kind == "end" else f"'{token.text[:40]}'"
