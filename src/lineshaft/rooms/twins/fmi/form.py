"""What an FMU says of itself: `modelDescription.xml`, parsed into an `FmuForm`.

Rules: the text is a stranger's: no DOCTYPE (so no entities and no outside files), bounded length,
depth and number of elements; every attribute that is used is checked. Types have the names of
FMI 3.0: a `Real` of FMI 2.0 is a `Float64`, an `Integer` an `Int32`. Nothing is opened here.

Standards: FMI 2.0.4 §2.2, §4.3; FMI 3.0.1 §2.4, §4.3.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from lineshaft.core.errors import Refused

__all__ = ["MAX_BYTES", "NUMBERS", "FmuForm", "Port", "parse_form"]

MAX_BYTES: Final = 32 << 20
_MAX_DEPTH: Final = 32
_MAX_ELEMENTS: Final = 500_000
_MAX_SIZE: Final = 1 << 20
#: The types whose values travel as columns of float64; texts, octets and clocks do not.
NUMBERS: Final = (
    "Float64", "Float32", "Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
    "Boolean", "Enumeration",
)  # fmt: skip
_KINDS: Final = {"Real": "Float64", "Integer": "Int32"} | {
    name: name for name in (*NUMBERS, "String", "Binary", "Clock")
}
_CAUSALITIES: Final = {
    "input", "output", "parameter", "calculatedParameter", "structuralParameter",
}  # fmt: skip
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


@dataclass(frozen=True, slots=True)
class Port:
    """A variable that can be set or read; `size` elements, row by row where it is an array.

    `start` is one number or `size` of them, a text for `String`, None where the FMU finds it.
    """

    name: str
    causality: str
    type: str
    reference: int
    unit: str = ""
    start: tuple[float, ...] | str | None = None
    description: str = ""
    size: int = 1


@dataclass(frozen=True, slots=True)
class FmuForm:
    """A co-simulation FMU as it describes itself; times in seconds.

    `token` is the GUID (FMI 2.0) or instantiation token (FMI 3.0). `can_save` says whether its
    state can be kept as bytes, `variable_step` whether steps may differ in length.
    """

    name: str
    version: str
    token: str
    identifier: str
    description: str
    tool: str
    ports: tuple[Port, ...]
    can_save: bool
    variable_step: bool
    start_s: float | None = None
    stop_s: float | None = None
    step_s: float | None = None

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Return the inputs that are columns, in their order."""
        return tuple(p for p in self.ports if p.causality == "input" and p.type in NUMBERS)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Return the outputs that are columns, in their order."""
        return tuple(p for p in self.ports if p.causality == "output" and p.type in NUMBERS)

    @property
    def n_inputs(self) -> int:
        """Return the number of input columns, every element of an array being one."""
        return sum(port.size for port in self.inputs)

    @property
    def n_outputs(self) -> int:
        """Return the number of output columns, every element of an array being one."""
        return sum(port.size for port in self.outputs)


def parse_form(text: bytes) -> FmuForm:
    """Return the form; raise Refused `fmi.description` for a text that is broken or unfit."""
    root = _tree(text)
    version = root.get("fmiVersion", "")
    if root.tag != "fmiModelDescription" or not re.fullmatch(r"[23]\.\d[\w.+-]{0,30}", version):
        raise _unfit(f"FMI version {version[:20]!r} is not read", "Export it as FMI 2.0 or 3.0")
    role = root.find("CoSimulation")
    if role is None:
        raise _unfit("it has no co-simulation", "Export it for co-simulation")
    if role.get("needsExecutionTool") == "true":
        raise _unfit("it needs the tool that made it beside it", "Export it as a standalone FMU")
    identifier = role.get("modelIdentifier", "")
    if not _IDENTIFIER.fullmatch(identifier):
        raise _unfit(f"{identifier[:40]!r} is no model identifier")
    is_two = version.startswith("2")
    state = "FMUstate" if is_two else "FMUState"
    experiment = root.find("DefaultExperiment")
    times = Element("none") if experiment is None else experiment
    return FmuForm(
        root.get("modelName", identifier), version,
        root.get("guid" if is_two else "instantiationToken", ""), identifier,
        root.get("description", ""), root.get("generationTool", ""), tuple(_ports(root, is_two)),
        all(role.get(f"can{verb}{state}") == "true" for verb in ("GetAndSet", "Serialize")),
        role.get("canHandleVariableCommunicationStepSize") == "true",
        *(_number(times.get(name)) for name in ("startTime", "stopTime", "stepSize")),
    )  # fmt: skip


def _unfit(message: str, hint: str = "The tool that made the FMU must mend this") -> Refused:
    return Refused(message, hint=hint, code="fmi.description")


def _tree(text: bytes) -> Element:
    """Return the root; the parser is told to refuse what a description never needs."""
    if len(text) > MAX_BYTES:
        raise _unfit(f"modelDescription.xml is longer than {MAX_BYTES >> 20} MiB")
    builder, depth, count = TreeBuilder(), 0, 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > _MAX_DEPTH or count > _MAX_ELEMENTS:
            raise _unfit("modelDescription.xml is too deep or has too many elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise _unfit("modelDescription.xml has a DOCTYPE, which could name entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeError, LookupError, ValueError) as error:
        raise _unfit(f"modelDescription.xml cannot be read: {error}") from None
    return builder.close()


def _ports(root: Element, is_two: bool) -> Iterator[Port]:
    units = _units(root)
    sizes: dict[int, int] = {}  # by the reference of a structural parameter
    found: list[tuple[Element, Element]] = []  # the variable, and where its type's attributes are
    for variable in root.iterfind("ModelVariables/*"):
        typed = next(iter(variable), None) if is_two else variable
        if typed is None or typed.tag not in _KINDS:
            raise _unfit(f"variable {variable.get('name')!r} has no known type")
        if variable.get("causality") == "structuralParameter" and typed.tag == "UInt64":
            sizes[_reference(variable)] = int(_number(variable.get("start")) or 0)
        if variable.get("causality") in _CAUSALITIES:
            found.append((variable, typed))
    names, total = set(), 0
    for variable, typed in found:
        name = variable.get("name", "")
        if not name or name in names:
            raise _unfit(f"two variables are named {name!r}" if name else "a variable has no name")
        names.add(name)
        kind = _KINDS[typed.tag]
        unit = typed.get("unit") or units.get(typed.get("declaredType", ""), "")
        size = _size(variable, sizes)
        total += size
        if total > _MAX_SIZE:
            raise _unfit(f"its variables have more than {_MAX_SIZE:,} elements")
        yield Port(name, variable.get("causality", ""), kind, _reference(variable), unit,
                   _start(name, typed, kind, size), variable.get("description", ""),
                   size)  # fmt: skip


def _units(root: Element) -> dict[str, str]:
    """Return the units of declared types: FMI 2.0 has them one element deeper."""
    return {
        declared.get("name", ""): unit
        for declared in root.iterfind("TypeDefinitions/*")
        for place in (declared, *declared)
        if (unit := place.get("unit"))
    }


def _size(variable: Element, sizes: dict[int, int]) -> int:
    size = 1
    for dimension in variable.iterfind("Dimension"):
        fixed = dimension.get("start")
        size *= int(_number(fixed) or 0) if fixed else sizes.get(_reference(dimension), 0)
        if not 0 <= size <= _MAX_SIZE:
            raise _unfit(f"the array {variable.get('name')!r} is too big")
    return size


def _start(name: str, typed: Element, kind: str, size: int) -> tuple[float, ...] | str | None:
    if kind == "String":
        below = typed.find("Start")
        return typed.get("start") if below is None else below.get("value")
    text = typed.get("start")
    if text is None or kind not in NUMBERS:
        return None
    if kind == "Boolean":
        numbers = tuple(float(word in {"true", "1"}) for word in text.split())
    else:
        numbers = tuple(_number(word) or 0.0 for word in text.split())
    if len(numbers) not in {1, size}:
        raise _unfit(f"variable {name!r} has {len(numbers)} start values for {size}")
    return numbers


def _reference(element: Element) -> int:
    text = element.get("valueReference", "")
    if not re.fullmatch(r"\d{1,10}", text) or int(text) >= 1 << 32:
        raise _unfit(f"{text[:40]!r} is no value reference")
    return int(text)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        raise _unfit(f"{text[:40]!r} is no number") from None
    if not math.isfinite(number):
        raise _unfit(f"{text[:40]!r} is not finite")
    return number
