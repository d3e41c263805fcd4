"""The ledger: evidence that can be added to and never changed (RFC 6962 over canonical JSON)."""
