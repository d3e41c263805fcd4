"""Connectors, one folder a protocol. Each turns a machine's own speech into rows and Facts."""
