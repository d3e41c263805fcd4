"""Draft: from the signals of a machine and the first hours of its samples to twins proposed.

Rules: what is proposed follows from names, units and samples alone, the same from the same; a
candidate is found (`look`), fitted elsewhere, then judged against the others (`judge`). Every line
says how sure it is and why.
"""
