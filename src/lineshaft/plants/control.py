"""Who commands the plant: its own local values, or a remote controller that is alive.

Pure; time is an argument. The rules:

- `local`: the operator's local values are in force.
- `remote`: only while remote control is wished AND the heartbeat has changed within `timeout_s`
  of wall time. Remote values are accepted in this state alone, and are in force at once.
- `fallback`: remote is wished but the heartbeat has stopped. Local values come back; when the
  heartbeat beats again, so does remote.
- Transfers are bumpless both ways: remote values track what is in force while they are not, so
  taking over changes nothing; and on return to local each value moves to the operator's at no more
  than its range in `return_h` plant hours. What the operator then changes is in force at once.
"""

from collections.abc import Mapping
from enum import StrEnum

from lineshaft.core.errors import Refused
from lineshaft.plants.signals import PlantSpec

__all__ = ["ControlState", "LocalControl"]


class ControlState(StrEnum):
    """Whose values are in force."""

    LOCAL = "local"
    REMOTE = "remote"
    FALLBACK = "fallback"


class LocalControl:
    """The switch between local and remote; `in_force` is what the plant is told."""

    def __init__(
        self, spec: PlantSpec, start: Mapping[str, float], *, timeout_s: float, return_h: float
    ) -> None:
        self._spans = {key: (spec[key].high or 0.0) - (spec[key].low or 0.0) for key in start}
        self._timeout_s = timeout_s
        self._return_h = return_h
        self._last_beat: int | None = None
        self._beat_at: float | None = None
        self.restart(start)

    def restart(self, start: Mapping[str, float]) -> None:
        """Go to local control with these values; the wish for remote is dropped."""
        self.local = dict(start)
        self.in_force = dict(start)
        self.wished = False
        self.state = ControlState.LOCAL
        self._returning = False

    def wish(self, remote: bool, now_s: float) -> None:
        """Ask for remote control, or give it back."""
        self.wished = remote
        self._decide(now_s)

    def beat(self, value: int, now_s: float) -> None:
        """Take a heartbeat; only a number other than the last one counts."""
        if value != self._last_beat:
            self._last_beat = value
            self._beat_at = now_s
        self._decide(now_s)

    def set_local(self, key: str, value: float) -> None:
        """Change the operator's value."""
        self.local[key] = value
        if self.state is not ControlState.REMOTE and not self._returning:
            self.in_force[key] = value

    def set_remote(self, key: str, value: float, now_s: float) -> None:
        """Put a remote value in force; raise Refused unless remote control is."""
        self._decide(now_s)
        if self.state is not ControlState.REMOTE:
            raise Refused(
                f"{key} is under {self.state} control",
                hint="Ask for remote control and keep the heartbeat beating, or write the "
                "local value",
                code="control.local",
            )
        self.in_force[key] = value

    def step(self, now_s: float, hours: float) -> None:
        """Decide who commands at `now_s`, and move returning values on by `hours` plant time."""
        self._decide(now_s)
        if self.state is ControlState.REMOTE or not self._returning:
            return
        for key, goal in self.local.items():
            most = self._spans[key] * hours / self._return_h
            away = goal - self.in_force[key]
            self.in_force[key] = (
                goal if abs(away) <= most else self.in_force[key] + (most if away > 0 else -most)
            )
        self._returning = self.in_force != self.local

    def _decide(self, now_s: float) -> None:
        alive = self._beat_at is not None and now_s - self._beat_at <= self._timeout_s
        before = self.state
        if not self.wished:
            self.state = ControlState.LOCAL
        else:
            self.state = ControlState.REMOTE if alive else ControlState.FALLBACK
        if before is ControlState.REMOTE and self.state is not ControlState.REMOTE:
            self._returning = True
