"""The room `decide`: the plant runs itself inside limits that people set, and proves its gain.

Hears: every block of samples of the site's stream, the Facts of twins and links, what people want
of their loops. Says: Commands to the process `connect`, and the Facts `loop.*`, `command.*`.
Invariant: nothing reaches a machine but through the whole guard chain, and every Command ends in
exactly one Outcome: done, refused, failed or expired.
"""
