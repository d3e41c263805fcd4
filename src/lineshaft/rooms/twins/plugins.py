"""Every behaviour there is: the library and what other packages bring.

Rules: a package declares its behaviours as entry points of the group `lineshaft.behaviours`, each
a Behaviour under its own name. One that cannot be loaded, or whose functions do not fit its form,
is left out and named; the others stay. All are loaded when they are first asked for: compiled
kernels take a second and 100 MB, which no process pays for at its start.
"""

import functools
import logging
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour

__all__ = ["GROUP", "behaviours", "broken", "refresh"]

GROUP: Final = "lineshaft.behaviours"
_log = logging.getLogger(__name__)


def behaviours() -> Mapping[str, Behaviour]:
    """Return every behaviour by its name."""
    return _read()[0]


def broken() -> Mapping[str, str]:
    """Return what is wrong with the plug-ins that were left out, by the name they would have."""
    return _read()[1]


def refresh() -> None:
    """Look for plug-ins anew at the next call."""
    _read.cache_clear()


@functools.cache
def _read() -> tuple[Mapping[str, Behaviour], Mapping[str, str]]:
    from lineshaft.rooms.twins.engine.behaviours import LIBRARY

    found, wrong = dict(LIBRARY), {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            found[point.name] = _loaded(point, found)
        except Exception as error:  # a plug-in may raise anything
            owner = point.dist.name if point.dist else "an unknown package"
            text = f"the behaviour '{point.name}' of {owner} was left out: {error}"
            _log.error("%s", text)
            wrong[point.name] = text
    return found, wrong


def _loaded(point: EntryPoint, known: Mapping[str, Behaviour]) -> Behaviour:
    from lineshaft.rooms.twins.engine.checks import CHECKS

    behaviour = point.load()
    if not isinstance(behaviour, Behaviour):
        raise Refused(f"'{point.value}' is a {type(behaviour).__name__}, no Behaviour",
                      code="twin.behaviour")  # fmt: skip
    if behaviour.name != point.name or behaviour.name in known:
        raise Refused(f"it calls itself '{behaviour.name}', or that name is taken",
                      code="twin.behaviour", hint="Give both the same, new name")  # fmt: skip
    if wrong := CHECKS["shapes"](behaviour):
        raise Refused(f"it {wrong}", code="twin.behaviour",
                      hint="Run lineshaft.rooms.twins.engine.checks.complaints on it")  # fmt: skip
    return behaviour
