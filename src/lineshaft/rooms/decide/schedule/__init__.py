"""Scheduling inside the room `decide`: which machine does what, and when.

Hears: what people plan (shops as JSON or CSV), machines that break down. Says: the Facts
`schedule.adopted`, `schedule.repaired`, `machine.down`, `machine.up`.
Invariant: no schedule leaves this package that `engine.check` did not find valid, and none is put
in the place of another that costs less.
"""
