"""Learned state as bytes."""

import numpy as np
import pytest

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.pack import pack, unpack


def test_it_comes_back_as_it_was() -> None:
    arrays = {"a": np.array([[1.0, np.nan], [np.inf, -0.0]]), "n": np.arange(3),
              "b": np.array([True, False]), "none": np.empty((0, 4))}  # fmt: skip
    data = pack("thing/1", {"hours": 3.5, "names": ["x"]}, arrays)
    assert data == pack("thing/1", {"names": ["x"], "hours": 3.5}, arrays)
    facts, found = unpack("thing/1", data)
    assert facts == {"hours": 3.5, "names": ["x"]}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        found[name][...] = 0  # it may be written on


def test_at_every_length_torn_bytes_are_refused() -> None:
    data = pack("thing/1", {}, {"a": np.arange(4.0)})
    for end in range(len(data)):
        with pytest.raises(Refused):
            unpack("thing/1", data[:end])
    with pytest.raises(Refused, match="thing/1"):
        unpack("thing/2", data)
