"""Lineshaft: an Industrial Internet platform that starts with one command.

`connect` and `connect_async` open the Python client (`lineshaft.client`); they are loaded when they
are first asked for, so that no process of the platform pays for them.
"""

TYPE_CHECKING = False  # type checkers know the name; `typing` itself would take longer than us

if TYPE_CHECKING:
    from lineshaft.client import connect, connect_async

__all__ = ["__version__", "connect", "connect_async"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in {"connect", "connect_async"}:
        raise AttributeError(f"module 'lineshaft' has no attribute '{name}'")
    from lineshaft import client

    return getattr(client, name)
