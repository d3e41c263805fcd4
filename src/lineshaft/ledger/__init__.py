"""The ledger: evidence that can be added to and never changed.

Every Fact, so every Command, Outcome and audited call, becomes an entry: canonical JSON (RFC 8785),
a leaf of one Merkle tree (RFC 6962) whose root is signed (Ed25519) as it grows. Anybody who holds a
checkpoint can prove that a Fact stood in the log at a place and in these words, and that nothing
before it was changed since.

Hears: the stream of Facts. Says: nothing; it answers with entries, proofs and bundles.
Invariant: what was entered is never changed, left out or entered twice, and the tree of any size
begins with that of every smaller one.

    entries     what a message becomes            keeper      the stream → the tree
    merkle      the tree, from stored hashes      log         reading and proving
    keys        who signs                         bundle      evidence in one file
    store       its tables                        check       is it still what was signed?
    verify      the verifier, which also runs alone; what others rely on stands there once
"""
