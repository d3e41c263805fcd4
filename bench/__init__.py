"""Measurements of Lineshaft: `./dev bench NAME [--json] [--seconds N]`.

Every bench runs the real processes in a clean temporary folder, measures the raw limit of this
machine in the same run, and prints the median of its runs with their spread.
"""
