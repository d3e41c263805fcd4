"""The room `history`: samples and Facts kept, and read.

Hears: every block and every Fact of the site's streams.
Says: `history.lost`, `history.quarantined`, `history.repaired`, `stream.replaced`.
Invariant: the catalogue's position S and the files it names change in one transaction, so every
sample up to S is in exactly one of them, and every sample after S is in the stream.
"""
