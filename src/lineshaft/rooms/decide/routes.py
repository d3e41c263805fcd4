"""The doors of decisions: loops, their ladder, proposals, moves and why they were made."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.forms import (
    Ask,
    DecisionsView,
    LoopChange,
    LoopCheck,
    LoopDraft,
    LoopView,
    MethodList,
    ModeAsk,
    MoveList,
    MoveView,
    ProposalList,
    ProposalView,
    StopView,
    WhyView,
)
from lineshaft.rooms.decide.service import DecideService
from lineshaft.rooms.decide.views import (
    loop_of,
    loop_view,
    method_list,
    move_view,
    proposal_view,
    why_view,
)

__all__ = ["router"]

_READ: Final = {"x-right": "decisions.read"}
_WRITE: Final = {"x-right": "decisions.write"}
_APPROVE: Final = {"x-right": "decisions.approve"}
_PROMOTE: Final = {"x-right": "decisions.promote"}
_Id = Annotated[str, Path(max_length=40, description="id")]
_Loop = Annotated[str, Query(max_length=40, description="of this loop only")]
_Many = Annotated[int, Query(ge=1, le=1000)]


def router(decisions: DecideService) -> APIRouter:
    """Return the operations."""
    api = APIRouter(tags=["decisions"])

    @api.get("/decisions", summary="Loops, what they do and what they gained", openapi_extra=_READ)
    async def list_decisions() -> DecisionsView:
        loops, stopped = await decisions.all()
        return DecisionsView(
            loops=[loop_view(one) for one in loops],
            stopped=None if stopped is None else StopView(**stopped),
        )

    @api.get("/decisions/methods", summary="Ways to decide", openapi_extra=_READ)
    async def list_methods() -> MethodList:
        return method_list()

    @api.post("/decisions/stop", summary="The big stop: bring every loop to shadow now",
              openapi_extra=_APPROVE)  # fmt: skip
    async def stop_decisions(request: Request, body: Ask) -> StopView:
        return StopView(**await decisions.stop(_who(request), body.reason))

    _add_loops(api, decisions)
    _add_ladder(api, decisions)
    _add_proposals(api, decisions)
    _add_moves(api, decisions)
    return api


def _add_loops(api: APIRouter, decisions: DecideService) -> None:
    @api.post("/decisions/check", summary="Say whether a loop could run", openapi_extra=_READ)
    async def check_loop(body: LoopDraft) -> LoopCheck:
        try:
            await decisions.check(loop_of(body))
        except Refused as error:
            return LoopCheck(ok=False, **error.as_dict())
        return LoopCheck(ok=True, code="", message="", hint="")

    @api.post("/decisions/loops", summary="Define a loop; it begins in shadow", status_code=201,
              openapi_extra=_WRITE)  # fmt: skip
    async def add_loop(body: LoopDraft) -> LoopView:
        return loop_view(await decisions.add(loop_of(body)))

    @api.get("/decisions/loops/{number}", summary="One loop", openapi_extra=_READ)
    async def get_loop(number: _Id) -> LoopView:
        return loop_view(await decisions.get(number))

    @api.put("/decisions/loops/{number}", openapi_extra=_WRITE,
             summary="Change a loop; one that moves goes back to shadow")  # fmt: skip
    async def change_loop(request: Request, number: _Id, body: LoopChange) -> LoopView:
        changed = loop_of(body, number, body.revision)
        return loop_view(await decisions.change(changed, _who(request)))

    @api.delete("/decisions/loops/{number}", status_code=204, openapi_extra=_WRITE,
                summary="Forget a loop; its moves and samples stay")  # fmt: skip
    async def remove_loop(request: Request, number: _Id) -> Response:
        await decisions.remove(number, _who(request))
        return Response(status_code=204)


def _add_ladder(api: APIRouter, decisions: DecideService) -> None:
    @api.post("/decisions/loops/{number}/promote", openapi_extra=_PROMOTE,
              summary="Move a loop one step up its ladder")  # fmt: skip
    async def promote_loop(request: Request, number: _Id, body: ModeAsk) -> LoopView:
        who = _person(request)
        return loop_view(await decisions.promote(number, body.mode, who, body.reason))

    @api.post("/decisions/loops/{number}/demote", openapi_extra=_APPROVE,
              summary="Move a loop one step down its ladder")  # fmt: skip
    async def demote_loop(request: Request, number: _Id, body: ModeAsk) -> LoopView:
        who = _who(request)
        return loop_view(await decisions.demote(number, body.mode, who, body.reason))


def _add_proposals(api: APIRouter, decisions: DecideService) -> None:
    @api.get("/decisions/proposals", summary="What loops wanted, newest first", openapi_extra=_READ)
    async def list_proposals(loop: _Loop = "", limit: _Many = 100) -> ProposalList:
        found = await decisions.proposals(loop, limit)
        return ProposalList(proposals=[proposal_view(one) for one in found])

    @api.post("/decisions/proposals/{number}/approve", openapi_extra=_APPROVE,
              summary="Say yes to a proposal that waits")  # fmt: skip
    async def approve_proposal(request: Request, number: _Id, body: Ask) -> ProposalView:
        return proposal_view(await decisions.approve(number, _person(request), body.reason))

    @api.post("/decisions/proposals/{number}/reject", openapi_extra=_APPROVE,
              summary="Say no to a proposal that waits")  # fmt: skip
    async def reject_proposal(request: Request, number: _Id, body: Ask) -> ProposalView:
        return proposal_view(await decisions.reject(number, _who(request), body.reason))


def _add_moves(api: APIRouter, decisions: DecideService) -> None:
    @api.get("/decisions/moves", summary="Commands and how they ended, newest first",
             openapi_extra=_READ)  # fmt: skip
    async def list_moves(
        loop: _Loop = "", limit: _Many = 100,
        after: Annotated[str, Query(max_length=60, description="`next` of the page before")] = "",
    ) -> MoveList:  # fmt: skip
        found, following = await decisions.moves(loop, limit, after)
        return MoveList(moves=[move_view(one) for one in found], next=following)

    @api.get("/decisions/moves/{command}", summary="One Command", openapi_extra=_READ)
    async def get_move(command: _Id) -> MoveView:
        return move_view(await decisions.move(command))

    @api.get("/decisions/moves/{command}/why", openapi_extra=_READ,
             summary="Why a move was made, from samples to what happened")  # fmt: skip
    async def explain_move(command: _Id) -> WhyView:
        return why_view(await decisions.why(command))

    @api.get("/decisions/moves/{command}/why/export", openapi_extra=_READ,
             summary="Its Facts as a file that proves them offline")  # fmt: skip
    async def export_move(command: _Id) -> Response:
        bundle = await decisions.prove(command)
        saved = {"Content-Disposition": f'attachment; filename="why-{command}.zip"'}
        return Response(bundle, 200, saved, "application/zip")


def _who(request: Request) -> str:
    """Return who asks."""
    return str(request.scope["state"]["session"].user)


def _person(request: Request) -> str:
    """Return who asks; Refused where it is a program: programs only ever propose."""
    session = request.scope["state"]["session"]
    if session.by == "token":
        raise Refused("a program may not let a loop move a machine",
                      hint="Sign in and do it yourself", code="decision.person",
                      status=403)  # fmt: skip
    return str(session.user)
