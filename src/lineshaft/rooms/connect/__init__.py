"""The room `connect`: machines in and out. Sources, their connectors, store-and-forward, the gap
ledger, and single writes to sources that people opened for them.

Hears: machines (OPC UA so far), what people want of their sources, and what the process `decide`
has to write (asked over the bus).
Says: SampleBlocks, the Facts `link.*`, `task.*`, `source.*`, `certificate.*`, and once a second the
state of each source.
Invariant: every change that a source's server reported is on the bus once, or lies in a declared
`link.gap`; one failing source never touches another.

`asyncua` is imported in the process `connect` only: by `service` through `protocols.opcua`. This
page, the store, the board and the doors do without it.
"""
