"""The room `twins`: machines mirrored, their behaviour predicted, their drift scored.

Hears: every block of samples of the site's stream but its own; `twins.changed` when people edit.
Says: blocks of the origin `twin` (estimates, states, scores); `twin.changed`, `twin.drifted`,
`twin.recovered`, `process.abnormal`, `process.normal`.
Invariant: what a twin knows follows from its newest snapshot and the stream after it alone, bit by
bit; so a twin killed at any moment knows what an uninterrupted one knows.
"""
