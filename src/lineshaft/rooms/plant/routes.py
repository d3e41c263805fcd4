"""The doors of the room `plant`: GET /signals."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from lineshaft.rooms.plant.service import PlantService

__all__ = ["router"]


class SignalView(BaseModel):
    """One signal of the list."""

    sid: int = Field(description="Number of the signal; never reused, kept when it is renamed")
    path: str = Field(description="enterprise/site/area/line/machine/signal")
    name: str = Field(description="Name as its machine gives it")
    kind: str = Field(description="What its values are: float, int, bool or string")
    unit: str = Field(description="UCUM code, or the machine's own text; see `unit_note`")
    unit_note: str = Field(description="What is odd about the unit; empty where nothing is")
    low: float | None = Field(description="Low end of the engineering range, in `unit`")
    high: float | None = Field(description="High end of the engineering range, in `unit`")
    limit_low: float | None = Field(description="Low normal operating limit, in `unit`")
    limit_high: float | None = Field(description="High normal operating limit, in `unit`")
    period_ms: int | None = Field(description="How often a value is expected, where known")
    source: str = Field(description="Id of the source that feeds it")
    writable: bool = Field(description="Whether its machine lets it be written")
    decimals: int | None = Field(description="Digits after the point worth showing, where known")
    description: str = Field(description="Description as its machine gives it")


class SignalList(BaseModel):
    """Signals, by path."""

    signals: list[SignalView] = Field(description="The signals, by path")


def router(service: PlantService) -> APIRouter:
    """Return the operations of this room."""
    doors = APIRouter(tags=["plant"])

    @doors.get("/signals", response_model=SignalList, operation_id="list_signals")
    def list_signals(
        prefix: Annotated[str, Query(description="Only signals below this path")] = "",
        source: Annotated[str, Query(description="Only signals of this source")] = "",
    ) -> Response:
        """List the signals there are."""
        body = orjson.dumps({"signals": service.signals(prefix, source)})
        return Response(body, media_type="application/json")

    return doors
