"""Lineshaft: an Industrial Internet platform that starts with one command."""

__all__ = ["__version__"]

__version__ = "0.1.0"
