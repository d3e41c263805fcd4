"""The composition root's part for decisions: the process `decide`, and the doors in `web`."""

import asyncio
import hmac
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineshaft.core.signals import Signal

if TYPE_CHECKING:
    from fastapi import APIRouter

    from lineshaft.app import Ground
    from lineshaft.core.ports import PlantPanel
    from lineshaft.records import Engine
    from lineshaft.rooms.history.calculations import Calculations
    from lineshaft.rooms.plant.store import SignalStore

__all__ = ["decide_doors", "run_loops"]


async def run_loops(ground: "Ground", stop: asyncio.Event) -> None:
    """Run the loops of the records."""
    from lineshaft.bus.client import data_stream
    from lineshaft.clock import now_us
    from lineshaft.records import open_records
    from lineshaft.rooms.decide import runner
    from lineshaft.rooms.history.engine.rows import full_seq
    from lineshaft.rooms.history.store import Catalogue
    from lineshaft.rooms.plant.store import SignalStore
    from lineshaft.web.accounts import Accounts
    from lineshaft.web.rights import BUILT_IN, roles_with

    engine = open_records(ground.folder / "records.sqlite")
    catalogue = Catalogue(engine, data_stream(ground.bus.site))

    def approvers() -> frozenset[str]:
        roles = roles_with("decisions.approve")
        people = Accounts(engine).list()
        return frozenset({BUILT_IN, *(p.name for p in people if p.enabled and p.role in roles)})

    def numbered(seq: int) -> int:
        row = catalogue.row()
        return full_seq(row.last.epoch if row else 0, seq)

    await runner.keep_loops(
        runner.Ground(ground.bus, engine, key=_approval_key(ground.folder), full_seq=numbered,
                      signals=SignalStore(engine, now_us).by_sid, approvers=approvers),
        stop,
    )  # fmt: skip


def decide_doors(
    ground: "Ground", engine: "Engine", signals: "SignalStore", calculations: "Calculations",
    panel: "PlantPanel",
) -> "tuple[APIRouter, list[Coroutine[Any, Any, None]]]":  # fmt: skip
    """Return the doors of decisions, and what makes the demo's loop."""
    from lineshaft.ledger.log import Ledger
    from lineshaft.ledger.service import EvidenceService
    from lineshaft.rooms.connect.demo import DEMO_ID
    from lineshaft.rooms.decide.demo import DemoLoop
    from lineshaft.rooms.decide.journal import Journal
    from lineshaft.rooms.decide.model import SOURCE
    from lineshaft.rooms.decide.routes import router
    from lineshaft.rooms.decide.service import DecideService
    from lineshaft.rooms.decide.store import LoopStore
    from lineshaft.rooms.history.expressions import CalculatedSignals

    expressions, key = CalculatedSignals(calculations), _approval_key(ground.folder)
    evidence = EvidenceService(Ledger(engine), ground.bus)
    service = DecideService(LoopStore(engine), Journal(engine), ground.bus, signals, expressions,
                            signals.by_sid, key, evidence)  # fmt: skip

    def plant_signals() -> list[Signal]:
        return [listed.signal for listed in signals.list(source=DEMO_ID)]

    def were_any() -> bool:
        return bool(signals.list(source=SOURCE, retired=True))

    demo = DemoLoop(service, panel, plant_signals, were_any)
    return router(service), [demo.run()] if ground.plan.demo else []


def _approval_key(folder: Path) -> bytes:
    """Return what seals the approvals of this data folder."""
    secret = (folder / "keys" / "platform.key").read_bytes().strip()
    return hmac.digest(secret, b"approvals of decisions", "sha256")
