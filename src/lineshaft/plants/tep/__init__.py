"""The Tennessee Eastman Process as a plant, through the optional package `tep-studio`."""

from lineshaft.plants.tep.binding import NOTICE
from lineshaft.plants.tep.plant import TepPlant

__all__ = ["NOTICE", "TepPlant"]
