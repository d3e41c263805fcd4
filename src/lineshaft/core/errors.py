"""Errors, split by whose fault they are.

    LineshaftError
    ├── Refused   the caller asked for something that cannot be; asking again will not help
    └── Broken    we, or the world, failed; `retryable` says whether time may heal it

A message says what happened and where; the hint says what to do next. Trouble with *data* is not
an error but a value: a quality on the sample and a Fact.
"""

__all__ = ["Broken", "LineshaftError", "Refused"]


class LineshaftError(Exception):
    """Anything this platform raises on purpose."""

    status = 500

    def __init__(self, message: str, *, hint: str = "", code: str = "error") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def as_dict(self) -> dict[str, str]:
        """Return the form in which doors (HTTP, bus, command line) hand the error out."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class Refused(LineshaftError):
    """The caller's fault: bad input, missing right, wrong state. Nothing was changed."""

    def __init__(
        self, message: str, *, hint: str = "", code: str = "refused", status: int = 400
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status


class Broken(LineshaftError):
    """Our fault or the world's: a disk, a link, a server."""

    def __init__(
        self, message: str, *, hint: str = "", code: str = "broken", retryable: bool = True
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retryable = retryable
        self.status = 503 if retryable else 500
