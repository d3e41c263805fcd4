"""The Williams-Otto reactor as a plant; needs nothing but numpy."""

from lineshaft.plants.williams_otto.plant import WilliamsOttoPlant

__all__ = ["WilliamsOttoPlant"]
