"""The demo plant as a source, written by the composition root at every start.

The plant's certificate is handed over as bytes by whoever started the plant, so it is trusted
without a question: nobody could have come in between.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from lineshaft.rooms.connect.model import Source, check_endpoint
from lineshaft.rooms.connect.protocols.opcua.pki import Pki
from lineshaft.rooms.connect.store import Secrets, SourceStore

__all__ = ["DEMO_ID", "ensure_demo_source"]

DEMO_ID: Final = "demo"


def ensure_demo_source(
    store: SourceStore,
    folder: Path,
    *,
    endpoint: str,
    user: str,
    password: str,
    certificate: bytes,
    now_us: int,
    view: str = "tep",
    name: str = "Tennessee Eastman Process",
    prefix: str = "lineshaft/demo/chem/tep",
) -> Source:
    """Write the demo plant as a source where it is not, and how to reach it now; idempotent.

    What people changed of it (its name, that it is off, that it is not written) stays. Another
    kind of plant (`view`, `prefix`) is browsed anew. Blocks on the database.
    """
    Pki(folder, now_us).trust_bytes(certificate)
    secrets = Secrets(folder)
    speed = f"nsu=urn:lineshaft:plant:{view};s=plant/speed"
    known = next((one for one in store.all() if one.id == DEMO_ID), None)
    wanted = Source(
        DEMO_ID, name, check_endpoint(endpoint), prefix, user=user, view=view, speed=speed,
        writes=True,
    )  # fmt: skip
    if known is not None and (known.view, known.prefix) == (view, prefix):
        wanted = replace(known, endpoint=wanted.endpoint, user=user, speed=speed)
    elif known is not None:
        store.set_items(DEMO_ID, [], [])
        wanted = replace(wanted, enabled=known.enabled, writes=known.writes,
                         revision=known.revision + 1)  # fmt: skip
    if secrets.get(DEMO_ID) != password:
        secrets.put(DEMO_ID, password)
        wanted = replace(wanted, revision=wanted.revision + 1)
    if wanted != known:
        store.save(wanted)
    return wanted
