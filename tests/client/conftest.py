"""The client's tests share the doors' platform."""

from tests.web.conftest import feed, house

__all__ = ["feed", "house"]
