"""The room `plant`: what there is. The list of signals, their paths, units and ranges.

Hears: `register` from connectors (through the port `SignalDirectory`), reads from the doors.
Says: `signal.changed`, `signals.imported` where a person edited; the list itself is asked for.
Invariant: a `sid` means one quantity in one unit and kind for ever: it is never given out twice,
renaming keeps it, a changed unit or kind retires it. What a person edited, no source overwrites.

Its doors bring the web framework: who wants only the table imports `store`.
"""
