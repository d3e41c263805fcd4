"""The thinking of the room `twins`: pure functions over arrays; time and seed are arguments."""
