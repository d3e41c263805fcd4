"""The HTTP application: all doors behind the gate, the console's files beside them."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lineshaft import __version__
from lineshaft.core.errors import LineshaftError
from lineshaft.web.guard import guard, passage_of
from lineshaft.web.throttle import Throttled

__all__ = ["STATIC", "build_api"]

_LOG = logging.getLogger(__name__)
STATIC = Path(__file__).parent / "static"
_NO_CONSOLE = """<!doctype html><title>Lineshaft</title>
<p>The console has not been built. Run <code>./dev run</code> in a checkout; it builds it.</p>
<p>The API is at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p>"""


class ErrorBody(BaseModel):
    """Why a request was not done."""

    code: str = Field(description="stable name of the trouble")
    message: str = Field(description="what happened, and where")
    hint: str = Field(description="what to do next")


_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "Refused: asking again will not help"},
    "5XX": {"model": ErrorBody, "description": "The platform failed, or what it needs is away"},
}


def build_api(routers: Sequence[APIRouter]) -> FastAPI:
    """Return the application that serves these operations under /api/v1, and the console; raise
    ValueError for an operation that declares no right."""
    api = FastAPI(
        title="Lineshaft",
        version=__version__,
        description="Every operation of the platform. Times are µs since 1970 UTC.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in routers:
        guard(router)
        api.include_router(router, prefix="/api/v1", responses=_ERRORS)
    api.add_exception_handler(LineshaftError, _own_error)
    api.add_exception_handler(RequestValidationError, _bad_request)
    api.add_exception_handler(HTTPException, _no_door)
    api.add_exception_handler(UnicodeEncodeError, _half_character)
    api.add_exception_handler(Exception, _failed)
    if (STATIC / "index.html").exists():
        # A mount at "/" would answer before a path can say that it takes another method.
        api.router.default = StaticFiles(directory=STATIC, html=True)
    else:
        api.add_api_route("/", _no_console, include_in_schema=False)
    return api


def _as_json(
    content: dict[str, str], status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error; it may repeat what was sent, even half a character, so all is ASCII."""
    body = json.dumps(content).encode()
    return Response(body, status, headers, media_type="application/json")


async def _own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LineshaftError)
    if "state" in request.scope and "passage" in request.scope["state"]:
        passage_of(request.scope).code = error.code  # the audit tells it
    wait = {"Retry-After": str(error.retry_s)} if isinstance(error, Throttled) else None
    return _as_json(error.as_dict(), error.status, wait)


async def _bad_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    where = ".".join(str(part) for part in first["loc"])
    content = {
        "code": "request.form",
        "message": f"the request is not in form at '{where}': {first['msg']}"[:500],
        "hint": "See /api/v1/openapi.json",
    }
    return _as_json(content, 422)


async def _half_character(_: Request, error: Exception) -> Response:
    content = {
        "code": "request.text",
        "message": "a text in the request holds half a character (a lone surrogate)",
        "hint": "Send whole Unicode characters",
    }
    return _as_json(content, 422)


async def _no_door(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content = {
        "code": f"http.{error.status_code}",
        "message": f"{error.detail}: {request.method} {request.url.path}"[:300],
        "hint": "See /api/v1/openapi.json",
    }
    return _as_json(content, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    content = {
        "code": "platform.failed",
        "message": f"the platform failed at this request: {type(error).__name__}",
        "hint": "Its log (logs/web.log in the data folder) says more; report it",
    }
    return _as_json(content, 500)


async def _no_console() -> HTMLResponse:
    return HTMLResponse(_NO_CONSOLE)
