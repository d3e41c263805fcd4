"""The door of SQL: POST /sql."""

from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from lineshaft.rooms.history.routes import TABLES
from lineshaft.web.sql import SqlDesk

__all__ = ["router"]


class SqlFormat(StrEnum):
    """How a result is handed out."""

    JSON = "json"
    ARROW = "arrow"
    CSV = "csv"


class SqlRequest(BaseModel):
    """A question in SQL."""

    query: str = Field(max_length=100_000, description="one SELECT over samples, signals, facts, "
                       "sources, gaps; DuckDB's dialect",
                       examples=["SELECT * FROM samples LIMIT 10"])  # fmt: skip
    limit: int = Field(default=10_000, ge=1, le=1_000_000, description="most rows to hand out")
    format: SqlFormat = Field(default=SqlFormat.JSON, description="json, arrow (IPC stream) or csv")


class SqlColumn(BaseModel):
    """A column of a result."""

    name: str
    type: str = Field(description="its Arrow type")


class SqlResult(BaseModel):
    """A result as JSON."""

    columns: list[SqlColumn]
    rows: list[dict[str, Any]] = Field(description="by column name; stamps in µs since 1970 UTC")
    is_whole: bool = Field(description="false where the limit of rows or bytes left some out")
    as_of: int = Field(description="number of the newest sample of the snapshot")


_TYPES = {
    SqlFormat.JSON: "application/json",
    SqlFormat.ARROW: "application/vnd.apache.arrow.stream",
    SqlFormat.CSV: "text/csv",
}


def router(desk: SqlDesk) -> APIRouter:
    """Return the operation that answers SQL."""
    api = APIRouter(tags=["history"])

    @api.post("/sql", summary="Ask in SQL, over a snapshot", response_model=SqlResult,
              responses=TABLES, openapi_extra={"x-right": "history.read"})  # fmt: skip
    async def sql(body: SqlRequest) -> Response:
        found = await desk.answer(body.query, body.limit, body.format.value)
        headers = {"X-Lineshaft-Rows": str(found.rows), "X-Lineshaft-As-Of": str(found.as_of),
                   "X-Lineshaft-Whole": "true" if found.is_whole else "false"}  # fmt: skip
        return Response(found.content, media_type=_TYPES[body.format], headers=headers)

    return api
