"""What tests of loops stand on: the house of the connectors' tests, with its bus."""

from tests.connect.conftest import house, nats

__all__ = ["house", "nats"]
