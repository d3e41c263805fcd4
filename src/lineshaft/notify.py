"""Telling systemd how far we are (sd_notify(3)): one datagram, where it asked for that."""

import os
import socket

__all__ = ["tell_systemd"]


def tell_systemd(state: str) -> bool:
    """Send a state such as `READY=1`; return whether there is a systemd that asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        try:
            door.connect("\0" + address[1:] if address[0] == "@" else address)
            door.sendall(state.encode())
        except OSError:
            return False
    return True
