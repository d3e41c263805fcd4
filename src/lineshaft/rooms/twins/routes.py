"""The doors of twins."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.fmi.form import FmuForm
from lineshaft.rooms.twins.model import Binding, Figure, Future, Twin
from lineshaft.rooms.twins.service import Question, TwinService, TwinState

__all__ = ["router"]

_READ: Final = {"x-right": "twins.read"}
_WRITE: Final = {"x-right": "twins.write"}
_FOREVER: Final = 1 << 53
_Stamp = Annotated[int, Field(ge=0, le=_FOREVER)]
_Number = Annotated[str, Path(max_length=40, description="id")]
_FmuName = Annotated[str, Path(max_length=80, description="what the FMU shall be called")]
_Sid = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
_Name = Annotated[str, Field(max_length=120)]
_Value = Annotated[float, Field(allow_inf_nan=False, strict=True)]
_Figures = dict[_Name, _Value]


class StateForm(BaseModel):
    """A state of a behaviour."""

    name: str
    unit: str


class PortForm(BaseModel):
    """An input or output; an empty unit stands for that of the bound signal."""

    name: str
    unit: str


class ParameterForm(BaseModel):
    """A constant of a machine."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    is_fitted: bool
    text: str


class BehaviourForm(BaseModel):
    """A kind of machine."""

    name: str
    title: str
    source: str = Field(description="standard or paper of its equations")
    states: list[StateForm]
    inputs: list[PortForm]
    outputs: list[PortForm]
    parameters: list[ParameterForm]


class BehaviourList(BaseModel):
    """All behaviours that are installed."""

    behaviours: list[BehaviourForm]


class FigureView(BaseModel):
    """A parameter: its standard deviation where it was fitted; `is_set` by a person."""

    value: _Value
    sigma: float | None = None
    is_set: bool = False


class TwinDraft(BaseModel):
    """A twin as a person defines it; `inputs` and `outputs` by port, as sids."""

    name: str = Field(min_length=1, max_length=120)
    machine: str = Field(max_length=700, description="enterprise/site/area/line/machine")
    behaviour: str = Field(max_length=200)
    method: Literal["kalman", "unscented", "open"] = "unscented"
    inputs: dict[_Name, _Sid] = Field(default_factory=dict, max_length=64)
    outputs: dict[_Name, _Sid] = Field(max_length=64)
    parameters: dict[_Name, FigureView] = Field(default_factory=dict, max_length=64)
    starts: _Figures = Field(default_factory=dict, max_length=64)
    spreads: _Figures = Field(default_factory=dict, max_length=64)
    walks: _Figures = Field(default_factory=dict, max_length=64)
    noises: _Figures = Field(default_factory=dict, max_length=64)
    clock: _Sid | None = Field(None, description="signal that tells how fast its plant runs")
    enabled: bool = True


class TwinChange(TwinDraft):
    """A twin as it shall be; `revision` is the one that was looked at."""

    revision: int = Field(ge=1, le=2**31 - 1)


class TwinView(BaseModel):
    """A twin and how it is doing."""

    id: str
    name: str
    machine: str
    behaviour: str
    method: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    parameters: dict[str, FigureView]
    starts: dict[str, float]
    spreads: dict[str, float]
    walks: dict[str, float]
    noises: dict[str, float]
    clock: int | None
    enabled: bool
    revision: int
    estimates: dict[str, int] = Field(
        description="sids of its own signals, by output and state; 'score': its distance"
    )
    is_taught: bool = Field(description="whether it knows how a good period looks")
    trained_from: int | None
    trained_to: int | None
    state: str = Field(description="running, untaught, waiting or disabled")
    score: float | None = Field(
        description="-log10 of how rarely a healthy machine is that far from its twin"
    )
    at: int | None = Field(description="stamp of its newest estimate, µs UTC")


class TwinList(BaseModel):
    """Twins, by machine and name."""

    twins: list[TwinView]


class Period(BaseModel):
    """A stretch of history, µs UTC."""

    model_config = {"populate_by_name": True}

    start: _Stamp = Field(alias="from")
    to: _Stamp


class FmuView(BaseModel):
    """An FMU as it describes itself."""

    name: str
    version: str = Field(description="of FMI")
    description: str
    tool: str
    inputs: list[PortForm]
    outputs: list[PortForm]
    parameters: list[PortForm]
    can_save: bool = Field(description="whether its state can be kept; else it begins anew")


class FmuList(BaseModel):
    """The FMUs of this site."""

    fmus: list[FmuView]


class FitRequest(Period):
    """A period to fit to; `free` names the parameters (all that may be where null)."""

    free: list[_Name] | None = Field(None, max_length=64)
    keep: bool = Field(False, description="take the figures over at once")


class OutputFit(BaseModel):
    """How well an output is told; `rmse_held` on the part that was not fitted."""

    rmse: float
    rmse_held: float | None
    r2: float | None


class FitAnswer(BaseModel):
    """A twin with fitted figures, and how well they fit."""

    twin: TwinView
    outputs: dict[str, OutputFit]
    unknown: list[str] = Field(description="parameters that this history cannot tell")


class IdentifyRequest(Period):
    """A period to learn from; the step and how far to look ahead, in plant seconds (null: the step
    of the samples, 30 steps)."""

    sample_s: float | None = Field(None, ge=1e-3, le=1e6)
    horizon_s: float | None = Field(None, gt=0, le=1e8)
    keep: bool = Field(False, description="take the model over at once")


class OutputModel(BaseModel):
    """How well an output is told on the part of the period not learned from, in its unit; r2 is
    the share of its variance that is told."""

    rmse: float = Field(description="one step ahead")
    r2: float
    rmse_ahead: float = Field(description="`horizon_s` ahead, inputs as they came")
    r2_ahead: float
    persistence: float = Field(description="rmse `horizon_s` ahead where the last value is kept")


class IdentifyAnswer(BaseModel):
    """A twin with a model of a period, and how good that is."""

    twin: TwinView
    outputs: dict[str, OutputModel]
    states: int
    sample_s: float
    horizon_s: float


class StateAnswer(BaseModel):
    """What was believed at a moment."""

    at: int | None
    values: dict[str, float | None]


class ChangeBody(BaseModel):
    """From `at_s` on a signal has another value, reached in `ramp_s`."""

    sid: _Sid
    at_s: float = Field(0, ge=0, le=1e8)
    value: _Value
    ramp_s: float = Field(0, ge=0, le=1e8)


class FutureBody(BaseModel):
    """A future to look at."""

    name: str = Field("", max_length=120)
    changes: list[ChangeBody] = Field(default_factory=list, max_length=200)


class WhatIfRequest(BaseModel):
    """What would happen if; `at` null is now."""

    twins: list[Annotated[str, Field(max_length=40)]] = Field(min_length=1, max_length=50)
    futures: list[FutureBody] = Field(min_length=1, max_length=10)
    horizon_s: float = Field(gt=0, le=1e8)
    step_s: float | None = Field(None, gt=0, le=1e6)
    at: _Stamp | None = None
    count: int = Field(100, ge=1, le=1000)
    seed: int = Field(1, ge=0, le=2**31 - 1)
    share: float = Field(0.9, gt=0, lt=1, description="of the futures lie within the band")


class BandView(BaseModel):
    """The band of one output, in its signal's unit."""

    twin: str
    output: str
    sid: int
    low: list[float]
    middle: list[float]
    high: list[float]


class FutureView(BaseModel):
    """One future."""

    name: str
    outputs: list[BandView]


class WhatIfAnswer(BaseModel):
    """Times in plant seconds after `at`, and what happens by then."""

    at: int
    times: list[float]
    futures: list[FutureView]


def router(twins: TwinService) -> APIRouter:
    """Return the operations."""
    api = APIRouter(tags=["twins"])

    @api.get("/twins", summary="Twins and how they are doing", openapi_extra=_READ)
    async def list_twins() -> TwinList:
        return TwinList(twins=[_view(one) for one in await twins.all()])

    @api.get("/twins/behaviours", summary="Kinds of machines that can be mirrored",
             openapi_extra=_READ)  # fmt: skip
    async def list_behaviours() -> BehaviourList:
        return BehaviourList(behaviours=[_form(one) for one in (await twins.behaviours()).values()])

    @api.post("/twins", summary="Mirror a machine", status_code=201, openapi_extra=_WRITE)
    async def add_twin(body: TwinDraft) -> TwinView:
        return _view(await twins.add(_twin(body)))

    @api.get("/twins/{number}", summary="One twin", openapi_extra=_READ)
    async def get_twin(number: _Number) -> TwinView:
        return _view(await twins.get(number))

    @api.put("/twins/{number}", summary="Give a twin other figures", openapi_extra=_WRITE)
    async def change_twin(number: _Number, body: TwinChange) -> TwinView:
        return _view(await twins.change(_twin(body, number, body.revision)))

    @api.delete("/twins/{number}", summary="Forget a twin; its signals' samples stay",
                status_code=204, openapi_extra=_WRITE)  # fmt: skip
    async def remove_twin(number: _Number) -> Response:
        await twins.remove(number)
        return Response(status_code=204)

    _add_fmus(api, twins)
    _add_learning(api, twins)
    _add_questions(api, twins)
    return api


def _add_fmus(api: APIRouter, twins: TwinService) -> None:
    @api.get("/twins/fmus", summary="FMUs that twins may be", openapi_extra=_READ)
    async def list_fmus() -> FmuList:
        found = await asyncio.to_thread(twins.fmus.all)
        return FmuList(fmus=[_fmu(name, form) for name, form in found.items()])

    @api.put(
        "/twins/fmus/{name}", summary="Bring in an FMU for co-simulation (FMI 2.0 or 3.0)",
        openapi_extra=_WRITE | {"requestBody": {"required": True, "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        },
    )  # fmt: skip
    async def put_fmu(name: _FmuName, request: Request) -> FmuView:
        return _fmu(name, await twins.fmus.receive(name, request.stream()))

    @api.delete("/twins/fmus/{name}", summary="Forget an FMU", status_code=204,
                openapi_extra=_WRITE)  # fmt: skip
    async def remove_fmu(name: _FmuName) -> Response:
        await asyncio.to_thread(twins.fmus.remove, name)
        return Response(status_code=204)


def _add_learning(api: APIRouter, twins: TwinService) -> None:
    @api.post("/twins/{number}/fit", summary="Fit a twin's figures to a period of history",
              openapi_extra=_WRITE)  # fmt: skip
    async def fit_twin(number: _Number, body: FitRequest) -> FitAnswer:
        _check(body)
        before = await twins.get(number)
        fitted, quality = await twins.fit(number, body.start, body.to, body.free)
        shown = TwinState(fitted, before.state, before.score, before.at)
        if body.keep:
            shown = await twins.take(number, fitted, before.twin.revision)
        return FitAnswer(twin=_view(shown), **quality)

    @api.post("/twins/{number}/identify", openapi_extra=_WRITE,
              summary="Find a model of an identified twin in a period of history")  # fmt: skip
    async def identify_twin(number: _Number, body: IdentifyRequest) -> IdentifyAnswer:
        _check(body)
        before = await twins.get(number)
        learned, quality = await twins.identify(
            number, body.start, body.to, body.sample_s, body.horizon_s
        )
        shown = TwinState(learned, before.state, before.score, before.at)
        if body.keep:
            shown = await twins.take(number, learned, before.twin.revision)
        return IdentifyAnswer(twin=_view(shown), **quality)

    @api.post("/twins/{number}/learn", openapi_extra=_WRITE,
              summary="Teach a twin how it looks when all is well")  # fmt: skip
    async def teach_twin(number: _Number, body: Period) -> TwinView:
        _check(body)
        return _view(await twins.learn(number, body.start, body.to))


def _add_questions(api: APIRouter, twins: TwinService) -> None:
    @api.get("/twins/{number}/state", summary="What a twin believed at a moment",
             openapi_extra=_READ)  # fmt: skip
    async def twin_state(
        number: _Number, at: Annotated[int | None, Query(ge=0, le=_FOREVER)] = None
    ) -> StateAnswer:
        return StateAnswer(at=at, values=dict(await twins.states_at(number, at)))

    @api.post("/twins/whatif", summary="Say what would happen if", openapi_extra=_READ)
    async def ask_whatif(body: WhatIfRequest) -> WhatIfAnswer:
        futures = [
            Future(one.name, [(c.sid, c.at_s, c.value, c.ramp_s) for c in one.changes])
            for one in body.futures
        ]
        content = body.model_dump(exclude={"futures"})
        found = await twins.whatif(Question(**content, futures=futures))
        return WhatIfAnswer.model_validate(_plain(found))


def _plain(content: Any) -> Any:
    """Return content with lists for arrays."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    return content.tolist() if hasattr(content, "tolist") else content


def _check(period: Period) -> None:
    if period.to <= period.start:
        raise Refused("the time range is empty", hint="'from' must lie before 'to'",
                      code="query.range")  # fmt: skip


def _twin(body: TwinDraft, number: str = "", revision: int = 1) -> Twin:
    content = body.model_dump(exclude={"inputs", "outputs", "parameters", "revision"})
    return Twin(
        id=number, revision=revision,
        inputs={name: Binding(sid) for name, sid in body.inputs.items()},
        outputs={name: Binding(sid) for name, sid in body.outputs.items()},
        parameters={name: Figure(**one.model_dump()) for name, one in body.parameters.items()},
        **content,
    )  # fmt: skip


def _view(one: TwinState) -> TwinView:
    content = asdict(one.twin)
    for name in one.twin.learned():
        del content[name]
    for ports in ("inputs", "outputs"):
        content[ports] = {name: bound["sid"] for name, bound in content[ports].items()}
    return TwinView(**content, is_taught=bool(one.twin.healthy), state=one.state,
                    score=one.score, at=one.at)  # fmt: skip


def _fmu(name: str, form: FmuForm) -> FmuView:
    parameters = [port for port in form.ports if "arameter" in port.causality]
    ports = {"inputs": form.inputs, "outputs": form.outputs, "parameters": parameters}
    return FmuView(
        name=name, version=form.version, description=form.description, tool=form.tool,
        can_save=form.can_save,
        **{key: [PortForm(name=p.name, unit=p.unit) for p in some] for key, some in ports.items()},
    )  # fmt: skip


def _form(behaviour: Behaviour) -> BehaviourForm:
    content = {name: getattr(behaviour, name) for name in ("name", "title", "source")}
    parts = {
        name: [asdict(part) for part in getattr(behaviour, name)]
        for name in ("states", "inputs", "outputs", "parameters")
    }
    return BehaviourForm.model_validate({**content, **parts})
