"""What history thinks: sorting a commit, merging a read, choosing the points of a trend.

Pure functions on columns; no file, no database, no clock.
"""
