"""Who may do what: roles × kinds × actions, in one table.

Rules: what the table does not grant is denied; a right is `kind.action`; no role holds less than
the one before it; an API token holds what it was given and its owner still holds, never more.
Three words stand where no role decides: `public` (before anybody is signed in), `self` (what is
about the caller alone), `key` (only with the data folder's key, on the platform's own machine).
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["ALL", "BUILT_IN", "ROLES", "SPECIAL", "may", "rights_of", "roles_with", "scopes_of"]

BUILT_IN: Final = "local"  # the administrator at the platform's own machine; has no password
SPECIAL: Final = frozenset({"public", "self", "key"})

_READ_ALL: Final = (
    "history", "signals", "sources", "certificates", "panel", "system", "notes", "views",
    "calculations", "imports", "exports", "backup", "twins", "decisions", "ledger",
    "schedules",
)  # fmt: skip
_GRANTS: Final = {
    "viewer": [f"{kind}.read" for kind in _READ_ALL],
    "operator": [
        "notes.write",
        "views.write",
        "panel.write",
        "decisions.approve",
        "schedules.report",
    ],
    "engineer": [
        "decisions.promote",
        *(
            f"{kind}.write"
            for kind in (
                "signals",
                "sources",
                "certificates",
                "calculations",
                "imports",
                "exports",
                "twins",
                "decisions",
                "schedules",
            )
        ),
    ],
    "administrator": [
        f"{kind}.{action}"
        for kind in (*_READ_ALL, "people", "tokens", "audit")
        for action in ("read", "write", "admin")
    ],
}


def _summed() -> dict[str, frozenset[str]]:
    """Return what each role holds: its own grants and those of the roles before it."""
    held: set[str] = set()
    table = {}
    for role, grants in _GRANTS.items():
        held |= set(grants)
        table[role] = frozenset(held)
    return table


_TABLE: Final = _summed()
ROLES: Final = tuple(_TABLE)
ALL: Final = frozenset().union(*_TABLE.values())


def rights_of(role: str) -> frozenset[str]:
    """Return the rights that a role holds; an unknown role holds none."""
    return _TABLE.get(role, frozenset())


def roles_with(right: str) -> list[str]:
    """Return the roles that hold a right.

    >>> roles_with("signals.write")
    ['engineer', 'administrator']
    """
    return [role for role in ROLES if right in _TABLE[role]]


def scopes_of(role: str, asked: Iterable[str] | None) -> frozenset[str]:
    """Return what a token of this role holds: of what was asked that which the role has; where
    nothing was asked, all it may read of the plant."""
    if asked is None:
        return frozenset(r for r in rights_of(role) & rights_of("viewer") if r.endswith(".read"))
    return frozenset(asked) & rights_of(role)


def may(right: str, held: frozenset[str], *, by: str, reads: bool) -> bool:
    """Return whether a caller with these rights may run an operation that declares `right`; `by` is
    how they came in (session, token, key), `reads` whether the operation changes nothing."""
    if right in {"public", "self"}:
        # A token cannot make tokens or change its owner's password: it would outlive its end.
        return right == "public" or by != "token" or reads
    if right == "key":
        return by == "key"
    return right in held
