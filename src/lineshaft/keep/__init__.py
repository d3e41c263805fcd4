"""Keeping: backup, verified restore, upgrades rehearsed first, and the platform's check-up.

Hears: nothing; it is called from the command line and at the start.
Says: `backup.made`, `backup.restored`.
Invariant: what is called a backup is whole. Its manifest is written last and names every file with
size and hash; a folder or archive without it, or one that does not match it, is refused.
"""
