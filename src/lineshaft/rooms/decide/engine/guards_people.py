"""Guards about who and when: stop, mode, approval, expiry, replay.

Rules: a person's yes counts for one Command as it stands (id, signal, value, expiry), sealed with a
key that only the platform has; nobody approves what he proposed himself; taking back our own newest
move needs no new yes. Pure: the key is an argument.
"""

import hashlib
import hmac
import math
from dataclasses import dataclass, field
from typing import ClassVar, Final

from lineshaft.core.commands import Command
from lineshaft.rooms.decide.engine.guards import Approval, Scene, is_revert
from lineshaft.rooms.decide.engine.ladder import Mode

__all__ = ["Approvals", "Expiry", "ModeGuard", "Replay", "Stop", "approve", "is_sealed"]

_AHEAD_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is written while the big stop is pressed."""

    name: ClassVar[str] = "stop"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse while stopped."""
        return "everything is stopped" if scene.stopped is not False else None


@dataclass(frozen=True, slots=True)
class ModeGuard:
    """Only a supervised or an autonomous loop writes."""

    name: ClassVar[str] = "mode"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse in shadow and advisory mode."""
        if scene.mode in (Mode.SUPERVISED, Mode.AUTONOMOUS):
            return None
        return f"the loop is in {scene.mode} mode, which writes nothing"


@dataclass(frozen=True, slots=True)
class Expiry:
    """A Command is of its moment: not expired, not from the future, not valid for ever."""

    longest_us: int = 3_600_000_000
    name: ClassVar[str] = "expiry"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse what has expired or has no believable times."""
        if not scene.now < command.expires:
            return f"it expired {(scene.now - command.expires) / 1e6:.1f} s ago"
        if not command.at <= scene.now + _AHEAD_US:
            return "it was decided in the future"
        if not command.expires - command.at <= self.longest_us:
            return f"it is valid for more than {self.longest_us / 1e6:g} s"
        return None


@dataclass(frozen=True, slots=True)
class Replay:
    """An id is used once."""

    name: ClassVar[str] = "replay"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse an id that was used before, also before a restart."""
        return "a Command with this id was given before" if scene.seen is not False else None


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many different persons have said yes to this very Command: `supervised` in supervised
    mode, `autonomous` in autonomous mode (0: none needed)."""

    key: bytes = field(repr=False)
    supervised: int = 1
    autonomous: int = 0
    name: ClassVar[str] = "approval"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse with how many approvals are there; forged and foreign ones do not count."""
        needed = self.autonomous if scene.mode is Mode.AUTONOMOUS else max(1, self.supervised)
        if not needed or is_revert(command, scene):
            return None
        given = {
            one.person
            for one in scene.approvals
            if is_sealed(self.key, one, command)
            and one.person in scene.approvers
            and f"person:{one.person}" != command.origin
            and one.at <= scene.now
        }
        if len(given) >= needed:
            return None
        return f"{len(given)} of {needed} persons approved it"


def approve(key: bytes, person: str, command: Command, at: int) -> Approval:
    """Return a person's yes to a Command, sealed (HMAC-SHA256, RFC 2104)."""
    bare = Approval(person, command.id, command.sid, command.value, command.expires, at, "")
    return Approval(
        person, command.id, command.sid, command.value, command.expires, at, _seal(key, bare)
    )


def is_sealed(key: bytes, approval: Approval, command: Command) -> bool:
    """Return whether the approval is genuine and is for this very Command."""
    same = (
        approval.command == command.id
        and approval.sid == command.sid
        and approval.value == command.value
        and approval.expires == command.expires
        and math.isfinite(command.value)
    )
    return same and hmac.compare_digest(approval.seal.encode(), _seal(key, approval).encode())


def _seal(key: bytes, approval: Approval) -> str:
    parts = (
        approval.person, approval.command, str(approval.sid), float(approval.value).hex(),
        str(approval.expires), str(approval.at),
    )  # fmt: skip
    text = "".join(f"{len(part)}:{part}," for part in parts)  # no two lists give one text
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
