"""From a machine's own folders to signal paths. Pure, and stable: equal trees give equal paths.

Rules: below the source's prefix (four levels) stands `machine/signal`; deeper folders stay levels;
a variable without a folder gets the server's name as its machine; the folder that holds the whole
plant is left out; of several equal paths the later get `-2`, `-3` in the server's own order.
"""

from collections.abc import Sequence

from lineshaft.core.paths import slug

__all__ = ["paths_of"]

_MOST = 8  # levels below the prefix; a path has twelve at most


def paths_of(trails: Sequence[Sequence[str]], server: str) -> list[str]:
    """Return a path below the prefix for each trail of browse names (folders, then the variable).

    >>> paths_of([("Plant", "Reactor", "Pressure"), ("Plant", "Rate")], "Line 3")
    ['reactor/pressure', 'line-3/rate']
    """
    whole = _holds_all(trails)
    used: dict[str, int] = {}
    paths: list[str] = []
    for trail in trails:
        levels = [slug(name) for name in (trail[1:] if whole else trail)]
        if len(levels) < 2:
            levels = [slug(server), *levels]
        if len(levels) > _MOST:
            middle = slug("-".join(levels[_MOST - 2 : -1]))
            levels = [*levels[: _MOST - 2], middle, levels[-1]]
        paths.append(_free("/".join(levels), used))
    return paths


def _holds_all(trails: Sequence[Sequence[str]]) -> bool:
    """Return whether one top folder holds everything and machines below it."""
    tops = {trail[0] for trail in trails}
    return len(tops) == 1 and any(len(trail) > 2 for trail in trails)


def _free(path: str, used: dict[str, int]) -> str:
    """Return the path, or with the next free number behind it; remember what was given out."""
    head, _, last = path.rpartition("/")
    candidate, number = path, used.get(path, 0)
    while candidate in used:
        number += 1
        suffix = f"-{number + 1}" if number else "-2"
        candidate = f"{head}/{last[: 64 - len(suffix)]}{suffix}"
    used[path] = number
    used.setdefault(candidate, 0)
    return candidate
