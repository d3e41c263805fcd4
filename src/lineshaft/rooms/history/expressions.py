"""The port `Expressions`: what other rooms ask of calculated signals.

Rules: an expression that is no more than one signal is that signal, in its own unit; any other is
a calculated signal like those that people define, at the path that was asked for.
"""

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.calculations import SOURCE, Calculations, Draft
from lineshaft.rooms.history.engine.calculate import Input
from lineshaft.rooms.history.engine.expression import Wrong
from lineshaft.rooms.history.engine.program import Program

__all__ = ["CalculatedSignals"]


class CalculatedSignals:
    """Expressions as signals; see `core.ports.Expressions`."""

    def __init__(self, calculations: Calculations) -> None:
        self._calculations = calculations

    async def check(self, expression: str, unit: str | None) -> Signal:
        """Return what an expression is; Refused with its first mistake."""
        program = await self._calculations.check(expression, unit)
        if isinstance(program, Wrong):
            raise program
        if program.kind is not Kind.FLOAT:
            raise Refused("the expression is true or false, not a number", code="expression.kind",
                          hint="Take if(…, 1, 0) of it", status=422)  # fmt: skip
        return _itself(program) or Signal(0, "", "", program.kind, program.unit, source=SOURCE)

    async def signal(self, path: str, name: str, expression: str, unit: str | None) -> Signal:
        """Return the signal that carries an expression from now on."""
        program = await self._calculations.check(expression, unit)
        if isinstance(program, Program) and (there := _itself(program)) is not None:
            return there
        draft = Draft(path, name, expression, unit)
        listed = {one.calculation.path: one for one in await self._calculations.list()}
        if path in listed:
            known = listed[path].calculation
            made = await self._calculations.change(known.id, draft, known.revision)
        else:
            made = await self._calculations.add(draft)
        found = made.calculation
        return Signal(found.sid, found.path, found.name, Kind.FLOAT, found.unit, source=SOURCE)


def _itself(program: Program) -> Signal | None:
    """Return the signal that a program does no more than hand on."""
    one = program.inputs[0]
    is_plain = isinstance(program.root, Input) and program.unit == one.unit
    return one if is_plain else None
