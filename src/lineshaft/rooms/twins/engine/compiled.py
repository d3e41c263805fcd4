"""Behaviours and kernels as machine code: one compiled kernel serves every kind of machine.

Rules: a behaviour's functions are compiled to fixed signatures and travel as function pointers, so
that a kernel is compiled once and kept on disk, whatever kinds there are. What does not compile is
refused with the compiler's words. Nothing is compiled before it is first called, for a large kernel
takes half a minute; processes that need the same one at once wait for the first of them and read
what it kept.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, update_wrapper
from pathlib import Path
from threading import Lock
from typing import Any, Final

from numba import float64, int64, njit, types
from numba.core.errors import NumbaError

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour

__all__ = [
    "A1", "A2", "A3", "ADVANCE", "I1", "MEASURE", "Kernel", "Kernels", "compile_behaviour",
    "kernel",
]  # fmt: skip

A1: Final = types.Array(float64, 1, "C")
A2: Final = types.Array(float64, 2, "C")
A3: Final = types.Array(float64, 3, "C")
I1: Final = types.Array(int64, 1, "C")
_ADVANCE: Final = types.void(A1, A1, A1, float64, A1)
_MEASURE: Final = types.void(A1, A1, A1, A1)
ADVANCE: Final = types.FunctionType(_ADVANCE)
MEASURE: Final = types.FunctionType(_MEASURE)
# Like numpy, a division by zero gives infinity: the filters notice it and start anew.
_COMPILE: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy"}


@dataclass(frozen=True, slots=True)
class Kernels:
    """The compiled functions of one behaviour: to be handed to a kernel that takes ADVANCE and
    MEASURE."""

    advance: Any
    measure: Any


class Kernel:
    """A kernel of one signature, compiled when it is first called."""

    def __init__(self, signature: Any, function: Callable[..., None]) -> None:
        update_wrapper(self, function)
        self._signature, self._code = signature, njit(nogil=True, **_COMPILE)(function)
        self._is_compiled, self._turn = False, Lock()

    def __call__(self, *arguments: Any) -> None:
        """Run it. Arguments must fit the signature; numba's TypeError names those that do not."""
        if not self._is_compiled:
            with self._turn:
                if not self._is_compiled:  # another thread may have been first
                    _compile(self._code, self._signature)
                    self._is_compiled = True
        self._code(*arguments)


def kernel(signature: Any) -> Callable[[Callable[..., None]], Kernel]:
    """Return what makes a Kernel of a function."""
    return lambda function: Kernel(signature, function)


@lru_cache(maxsize=256)
def compile_behaviour(behaviour: Behaviour) -> Kernels:
    """Return a behaviour's compiled functions; Refused says what the compiler did not like."""
    advance, measure = (njit(**_COMPILE)(one) for one in (behaviour.advance, behaviour.measure))
    try:
        _compile(advance, _ADVANCE)
        _compile(measure, _MEASURE)
    except (NumbaError, TypeError, ValueError) as error:
        raise Refused(f"the behaviour '{behaviour.name}' does not compile: "
                      f"{str(error).strip()[:400]}", code="twin.behaviour",
                      hint="Use arithmetic and math on the vectors only") from error  # fmt: skip
    return Kernels(advance, measure)


def _compile(code: Any, signature: Any) -> None:
    """Compile for this signature and no other, or read what another process kept of it."""
    function = code.py_func
    with _alone(Path(code.stats.cache_path or ""), f"{function.__module__}.{function.__name__}"):
        code.compile(signature)
    code.disable_compile()


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Be the only process that compiles this, where the compiler keeps what it makes."""
    file = None
    with suppress(OSError):  # nothing can be kept there: then each compiles for itself
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{name}.lock").open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if file is not None:
            file.close()
