"""The thinking of scheduling: rules, local search, repair, and a check that trusts none of it."""
