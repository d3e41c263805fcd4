"""Commands of the command line, a module a family; `cli.py` puts them together."""
