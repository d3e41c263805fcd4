"""Optimisers of a plant's steady state: methods that learn where it runs best, within its limits.

`steady` is told nothing of the plant; `record`, `surface`, `choose`, `design`, `mover`, `watch` and
`rest` are its parts.
"""
