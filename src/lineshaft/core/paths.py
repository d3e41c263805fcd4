"""Paths of signals: `enterprise/site/area/line/machine/signal` (ISA-95 Part 1, 5.3, equipment
hierarchy).

Levels are lower-case words of `a-z 0-9 _ -`, so that a path is also a URL, a folder and, with dots
for slashes, a bus subject. A machine may hold machines, so a path has six levels or more.
"""

import re
import unicodedata

from lineshaft.core.errors import Refused

__all__ = ["check_path", "slug"]

_LEVEL = re.compile(r"[a-z0-9_-]{1,64}")
_PREFIX_LEVELS, _MIN_LEVELS, _MAX_LEVELS = 4, 6, 12


def slug(text: str) -> str:
    """Return a path level made from any name; never empty.

    >>> slug("Reactor Pressure"), slug("PV-101.T"), slug("反应器")
    ('reactor-pressure', 'pv-101-t', 'u53cd-u5e94-u5668')
    """
    plain = unicodedata.normalize("NFKD", text).strip().lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    spelled = "".join(c if ord(c) < 128 else f"-u{ord(c):x}-" for c in plain)
    level = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_]+", "-", spelled)).strip("-")
    return level[:64].strip("-") or "unnamed"


def check_path(path: str, *, prefix: bool = False) -> str:
    """Return the path unchanged, or raise Refused that says which level is wrong."""
    levels = path.split("/")
    least, most = (_PREFIX_LEVELS,) * 2 if prefix else (_MIN_LEVELS, _MAX_LEVELS)
    form = "enterprise/site/area/line" + ("" if prefix else "/machine/signal")
    if not least <= len(levels) <= most:
        raise Refused(
            f"the path '{path[:200]}' has {len(levels)} levels",
            hint=f"Write it as {form}",
            code="path.levels",
        )
    for level in levels:
        if not _LEVEL.fullmatch(level):
            raise Refused(
                f"the level '{level[:80]}' of the path '{path[:200]}' is not a plain word",
                hint="Use a-z, 0-9, '-' and '_' only",
                code="path.level",
            )
    return path
