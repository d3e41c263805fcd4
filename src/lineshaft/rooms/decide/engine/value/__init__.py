"""What a loop is worth: its gain against its counterfactual, with an interval; see `account`."""

from lineshaft.rooms.decide.engine.value.account import Amount, Period, Value, Worth
from lineshaft.rooms.decide.engine.value.settings import Conversion, Terms
from lineshaft.rooms.decide.engine.value.switching import SwitchBack

__all__ = ["Amount", "Conversion", "Period", "SwitchBack", "Terms", "Value", "Worth"]
