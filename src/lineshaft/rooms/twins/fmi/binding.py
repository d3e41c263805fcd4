"""One FMU, loaded into this process through `fmpy`: FMI 2.0 and 3.0 behind the same few calls.

Rules: runs in the child only. Arrays of the calls are made once and live as long as the FMU, so a
step makes no object per value. Numbers are float64 outside and the FMU's types inside: integers are
rounded and kept in range (beyond 2^53 float64 is coarser than they are), a boolean is true unless
it is 0. An error of any call (status above warning) is the end of the FMU.

Standards: FMI 2.0.4 §4.2.1 (doStep), §4.2.4 (call sequence), §2.1.8 (states); FMI 3.0.1 §4.2, §2.2.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from fmpy import fmi2, fmi3
from fmpy.fmi1 import FMICallException
from numpy.typing import NDArray

from lineshaft.rooms.twins.fmi.form import FmuForm, Port
from lineshaft.rooms.twins.fmi.package import library_path
from lineshaft.rooms.twins.fmi.wire import Floats

__all__ = ["Model"]

#: FMI 2.0 has 32-bit booleans, and enumerations are its integers; in FMI 3.0 they are 64-bit.
_OLD: Final = {
    "Float64": ("Real", np.float64), "Int32": ("Integer", np.int32),
    "Enumeration": ("Integer", np.int32), "Boolean": ("Boolean", np.int32),
}  # fmt: skip


class Model:
    """An instance of the FMU unpacked in `folder`; `said` is called with what it logs."""

    def __init__(self, form: FmuForm, folder: Path, said: Callable[[str], None]) -> None:
        self._form = form
        self._is_two = form.version.startswith("2")
        made = fmi2.FMU2Slave if self._is_two else fmi3.FMU3Slave
        try:
            self._fmu = made(
                guid=form.token, modelIdentifier=form.identifier, unzipDirectory=str(folder),
                libraryPath=str(folder / library_path(form)), instanceName=form.identifier,
            )  # fmt: skip
        except AttributeError as error:
            raise RuntimeError(f"its library lacks a function: {error}") from None
        if self._is_two:
            self._fmu.instantiate(callbacks=_callbacks(said))
        else:
            self._fmu.instantiate(logMessage=lambda _env, _status, _kind, text: said(_text(text)))

    def start(self, t0: float, values: Mapping[str, str | Sequence[float]]) -> None:
        """Set start values by name and initialise at `t0` seconds."""
        ports = {port.name: port for port in self._form.ports}
        numbers = [ports[name] for name, value in values.items() if not isinstance(value, str)]
        row = [element for port in numbers for element in values[port.name]]
        for one in self._columns(numbers):
            one.put(np.array(row, np.float64))
        for name, value in values.items():
            if isinstance(value, str):
                self._fmu.setString([ports[name].reference], [value])
        if self._is_two:
            self._fmu.setupExperiment(startTime=t0)
            self._fmu.enterInitializationMode()
        else:
            self._fmu.enterInitializationMode(startTime=t0)
        self._fmu.exitInitializationMode()
        self._inputs = self._columns(self._form.inputs)
        self._outputs = self._columns(self._form.outputs)

    def put(self, row: Floats) -> None:
        """Set all inputs; `row` has shape (n_inputs,) and is finite."""
        for one in self._inputs:
            one.put(row)

    def take(self, row: Floats) -> None:
        """Write all outputs into `row`, shape (n_outputs,)."""
        for one in self._outputs:
            one.take(row)

    def step(self, t: float, dt: float) -> bool:
        """Go from `t` to `t + dt` seconds; return whether the FMU asks to end there.

        Raises RuntimeError where it asks to end before.
        """
        if not self._is_two:
            _, ended, _, reached = self._fmu.doStep(t, dt)
        else:
            try:
                self._fmu.doStep(t, dt)
            except FMICallException as error:
                if error.status != fmi2.fmi2Discard:
                    raise
                ended = bool(self._fmu.getBooleanStatus(fmi2.fmi2Terminated))
                reached = self._fmu.getRealStatus(fmi2.fmi2LastSuccessfulTime)
                if not ended:
                    raise RuntimeError(f"it discarded the step of {dt:g} s") from None
            else:
                return False
        if reached < t + dt * (1 - 1e-6) and ended:
            raise RuntimeError(f"it asks to end at {reached:g} s, within a step")
        return bool(ended)

    def save(self) -> bytes:
        """Return the state, as the FMU writes it."""
        state = self._fmu.getFMUState()
        try:
            return bytes(self._fmu.serializeFMUState(state))
        finally:
            self._fmu.freeFMUState(state)

    def restore(self, saved: bytes) -> None:
        """Take a state over that `save` of the same FMU returned."""
        state = self._fmu.deserializeFMUState(saved)
        try:
            self._fmu.setFMUState(state)
        finally:
            self._fmu.freeFMUState(state)

    def close(self) -> None:
        """Have the FMU end and free its instance."""
        self._fmu.terminate()
        self._fmu.freeInstance()

    def _columns(self, ports: Sequence[Port]) -> "list[_Columns]":
        """Return the ports by type; their columns are counted through all of them."""
        places: dict[tuple[str, Any], tuple[list[int], list[int]]] = {}
        at = 0
        for port in ports:
            kind = _OLD[port.type] if self._is_two else _new(port.type)
            references, columns = places.setdefault(kind, ([], []))
            references.append(port.reference)
            columns.extend(range(at, at + port.size))
            at += port.size
        return [
            _Columns(self._fmu, self._is_two, *kind, references, np.array(columns, np.intp))
            for kind, (references, columns) in places.items()
        ]


def _new(name: str) -> tuple[str, type[np.generic]]:
    name = {"Enumeration": "Int64"}.get(name, name)
    return name, np.dtype({"Boolean": "bool"}.get(name, name.lower())).type


class _Columns:
    """The variables of one type: one call sets or gets all of them."""

    def __init__(
        self, fmu: Any, is_two: bool, name: str, kind: type[np.generic], references: Sequence[int],
        columns: NDArray[np.intp],
    ) -> None:  # fmt: skip
        self._columns = columns
        self._values = np.zeros(len(columns), kind)
        self._range = _range(kind)
        prefix = "fmi2" if is_two else "fmi3"
        self._set = getattr(fmu, f"{prefix}Set{name}")
        self._get = getattr(fmu, f"{prefix}Get{name}")
        place = (ctypes.c_uint * len(references))(*references)
        pointer = np.ctypeslib.as_ctypes(self._values)
        self._arguments = [fmu.component, place, len(references), pointer]
        if not is_two:
            self._arguments.append(len(columns))
        self._is_switch = name == "Boolean"

    def put(self, row: Floats) -> None:
        values = row[self._columns]
        if self._is_switch:
            values = values != 0
        elif self._range is not None:
            values = np.clip(np.rint(values), *self._range)
        self._values[:] = values
        self._set(*self._arguments)

    def take(self, row: Floats) -> None:
        self._get(*self._arguments)
        row[self._columns] = self._values


def _range(kind: type[np.generic]) -> tuple[float, float] | None:
    """Return the least and the greatest float64 that this integer type can hold."""
    if not np.issubdtype(kind, np.integer):
        return None
    held = np.iinfo(kind)  # type: ignore[type-var]
    most = float(held.max)
    return float(held.min), most if held.bits < 64 else float(np.nextafter(most, 0))


def _text(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")


def _callbacks(said: Callable[[str], None]) -> Any:
    """Return FMI 2.0's callbacks; the messages come with their arguments put in."""
    callbacks = fmi2.fmi2CallbackFunctions()
    callbacks.logger = fmi2.fmi2CallbackLoggerTYPE(
        lambda _env, _name, _status, _kind, text: said(_text(text))
    )
    callbacks.allocateMemory = fmi2.fmi2CallbackAllocateMemoryTYPE(fmi2.calloc)
    callbacks.freeMemory = fmi2.fmi2CallbackFreeMemoryTYPE(fmi2.free)
    if hasattr(fmi2, "addLoggerProxy"):  # not on every machine; then texts keep their %s
        fmi2.addLoggerProxy(ctypes.byref(callbacks))
    return callbacks
