"""The door to the logs: the newest lines of each process, for administrators."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from lineshaft.core.errors import Refused
from lineshaft.logs import LEVELS, read_log

__all__ = ["logs_router"]


class LogLine(BaseModel):
    """What a process said: when (µs), how grave, in words and in fields."""

    time: int
    level: str = Field(description="debug, info, warning, error or critical")
    process: str
    event: str
    fields: dict[str, Any]


class LogLines(BaseModel):
    """Lines of the logs, oldest first."""

    lines: list[LogLine]


def logs_router(folder: Path) -> APIRouter:
    """Return the operation that reads the logs in a folder."""
    api = APIRouter(tags=["system"])

    @api.get("/logs", summary="Newest lines of the logs", openapi_extra={"x-right": "system.admin"})
    async def logs(
        process: Annotated[str, Query(pattern="^[a-z-]{0,40}$", description="all if empty")] = "",
        lines: Annotated[int, Query(ge=1, le=2000)] = 200,
        level: Annotated[
            str, Query(description="at least this grave", json_schema_extra={"enum": list(LEVELS)})
        ] = "debug",
    ) -> LogLines:
        if level not in LEVELS:
            raise Refused(f"there is no level '{level[:20]}'", hint=f"Use {', '.join(LEVELS)}",
                          code="logs.level", status=422)  # fmt: skip
        most = lines if level == "debug" else 20 * lines
        found = await asyncio.to_thread(read_log, folder, process, most)
        grave = LEVELS[LEVELS.index(level) :]
        wanted = [entry for entry in found if entry["level"] in grave or level == "debug"]
        return LogLines(lines=[LogLine(**entry) for entry in wanted[-lines:]])

    return api
