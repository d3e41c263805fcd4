"""Functions as machine code, kept on disk between processes."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

__all__ = ["compiled"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Return a function compiled when it is first called with arguments of a kind."""
    return cast(_F, njit(cache=True, error_model="numpy")(function))
