"""Behaviours as machine code: one compiled kernel serves every kind of machine.

Rules: a behaviour's functions are compiled to fixed signatures and travel as function pointers, so
that a kernel is compiled once and kept on disk, whatever kinds there are. What does not compile is
refused with the compiler's words.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from numba import float64, int64, njit, types
from numba.core.errors import NumbaError

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour

__all__ = ["A1", "A2", "A3", "ADVANCE", "I1", "MEASURE", "Kernels", "compile_behaviour"]

A1: Final = types.Array(float64, 1, "C")
A2: Final = types.Array(float64, 2, "C")
A3: Final = types.Array(float64, 3, "C")
I1: Final = types.Array(int64, 1, "C")
_ADVANCE: Final = types.void(A1, A1, A1, float64, A1)
_MEASURE: Final = types.void(A1, A1, A1, A1)
ADVANCE: Final = types.FunctionType(_ADVANCE)
MEASURE: Final = types.FunctionType(_MEASURE)


@dataclass(frozen=True, slots=True)
class Kernels:
    """The compiled functions of one behaviour: to be handed to a kernel that takes ADVANCE and
    MEASURE."""

    advance: Any
    measure: Any


@lru_cache(maxsize=256)
def compile_behaviour(behaviour: Behaviour) -> Kernels:
    """Return a behaviour's compiled functions; Refused says what the compiler did not like."""
    try:
        # Like numpy, a division by zero gives infinity: the filters notice it and start anew.
        advance = njit(_ADVANCE, cache=True, error_model="numpy")(behaviour.advance)
        measure = njit(_MEASURE, cache=True, error_model="numpy")(behaviour.measure)
    except (NumbaError, TypeError, ValueError) as error:
        raise Refused(f"the behaviour '{behaviour.name}' does not compile: "
                      f"{str(error).strip()[:400]}", code="twin.behaviour",
                      hint="Use arithmetic and math on the vectors only") from error  # fmt: skip
    return Kernels(advance, measure)
