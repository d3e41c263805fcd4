"""The six words that carry the system, and the ports between rooms.

Pure: no I/O, no clock, no randomness. A word enters here when three rooms speak it.
"""
