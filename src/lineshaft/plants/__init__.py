"""Simulated plants that speak OPC UA over real sockets, so that the platform takes them for real.

    Plant (tep, williams_otto)   the process under its regulatory control; pure stepping
      └ LocalControl             local or remote set-points, heartbeat, bumpless fallback
        └ Simulation             the wall clock: speeds, worker thread, signals by key
          ├ PlantServer          OPC UA: encrypted, password, units and ranges as properties
          └ PanelHandler         speed, disturbances, restart: what no real plant offers

What a plant shows is written in its `signals.toml`. Nothing here knows the platform but its words.
Public names: `lineshaft.plants.process` (settings, `run_plant`, `open_plant`).
"""
