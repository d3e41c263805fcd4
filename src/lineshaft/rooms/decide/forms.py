"""What the doors of decisions take and give, as JSON."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

__all__ = [
    "Ask", "CandidateView", "ConditionView", "ConditionsForm", "DecisionsView", "FiguresView",
    "ForesightForm", "GoalForm", "HandleForm", "HandleNow", "InterlockForm", "LadderView",
    "LimitForm", "LimitNow", "LoopChange", "LoopCheck", "LoopDraft", "LoopView", "MethodList",
    "MethodView", "ModeAsk", "MoveList", "MoveView", "ProofView", "ProposalList", "ProposalView",
    "ProposedMove", "RemoteForm", "SampleView", "StopView", "VerdictView", "WhyView", "WorthForm",
]  # fmt: skip

_FOREVER: Final = 1 << 53
# Strict: a yes or a text in the place of a number is a mistake of whoever sends it, not a number.
Sid = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Value = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Name = Annotated[str, Field(max_length=120)]
Mode = Literal["shadow", "advisory", "supervised", "autonomous"]
_UNIT: Final = "what the numbers are in; empty: the signal's own"


class GoalForm(BaseModel):
    """What is to be small or large."""

    expression: str = Field(min_length=1, max_length=4000, description="as in calculations")
    sense: Literal["minimise", "maximise"] = "minimise"
    unit: str = Field("", max_length=64, description="UCUM code; empty: what comes out of it")


class HandleForm(BaseModel):
    """A signal that the loop may move, and how far and fast."""

    sid: Sid
    low: Value
    high: Value
    rate: Value = Field(gt=0, description="most that it may move in a plant hour")
    dwell_h: Value = Field(0, ge=0, description="least plant time between two moves")
    moves_per_h: Value = Field(60, gt=0)
    unit: str = Field("", max_length=64, description=_UNIT)


class LimitForm(BaseModel):
    """A signal that must stay inside; `back_off` is the distance kept to the limits."""

    sid: Sid
    low: Value | None = None
    high: Value | None = None
    back_off: Value = Field(0, ge=0)
    unit: str = Field("", max_length=64, description=_UNIT)


class InterlockForm(BaseModel):
    """A condition for every write: the signal lies in `low` … `high`."""

    sid: Sid
    low: Value | None = None
    high: Value | None = None


class ForesightForm(BaseModel):
    """Twins that must foretell, before every move, that limited signals stay inside."""

    twins: list[Name] = Field(default_factory=list, max_length=20, description="ids")
    sids: list[Sid] = Field(
        default_factory=list, max_length=50, description="limited signals that they foretell"
    )
    hours: Value = Field(1, gt=0, le=1000, description="how far ahead, in plant hours")


class ConditionsForm(BaseModel):
    """What stands between a wish and a write."""

    approvals: Literal[1, 2] = Field(1, description="persons who must say yes in supervised mode")
    answer_s: Value = Field(120, ge=1, le=3600, description="how long one waits for them")
    fresh_s: Value = Field(30, ge=0.1, le=86_400, description="how old an input may be")
    interlocks: list[InterlockForm] = Field(default_factory=list, max_length=50)
    twins: list[Name] = Field(
        default_factory=list,
        max_length=20,
        description="ids; nothing moves while one has drifted or finds its process abnormal",
    )
    foresight: ForesightForm = Field(default_factory=ForesightForm)  # type: ignore[arg-type]


class RemoteForm(BaseModel):
    """How the plant is taken over: written 1 to ask for remote control, and what must beat."""

    wish: Sid | None = None
    heartbeat: Sid | None = None


class WorthForm(BaseModel):
    """What a gain is worth."""

    baseline: Literal["before", "switch-back", "twin"] = "before"
    per_unit: dict[Annotated[str, Field(max_length=20)], Value] = Field(
        default_factory=dict, max_length=10,
        description="what one unit of the objective is in money, tonnes, kWh, hours",
    )  # fmt: skip
    move: Value = Field(0, ge=0, description="what one move costs, in the objective's unit")


class LoopDraft(BaseModel):
    """A loop as a person defines it."""

    name: str = Field(min_length=1, max_length=120)
    machine: str = Field(max_length=700, description="enterprise/site/area/line/machine")
    goal: GoalForm
    handles: list[HandleForm] = Field(min_length=1, max_length=100)
    limits: list[LimitForm] = Field(default_factory=list, max_length=150)
    inputs: list[Sid] = Field(default_factory=list, max_length=100)
    clock: Sid | None = Field(None, description="signal that tells how fast its plant runs")
    period_h: Value = Field(1, gt=0, le=8760, description="plant hours between two decisions")
    settle_h: Value = Field(24, gt=0, le=8760, description="plant hours until it came to rest")
    tolerance: Value = Field(
        0.02, gt=0, le=1,
        description="share of the objective that a settled result may be from what was foretold, "
        "or worse than before without being taken back",
    )  # fmt: skip
    method: Literal["optimise", "mpc", "rules"] = "optimise"
    settings: dict[Name, Any] = Field(default_factory=dict, max_length=50)
    seed: int = Field(1, ge=0, le=2**31 - 1, strict=True)
    conditions: ConditionsForm = Field(default_factory=ConditionsForm)  # type: ignore[arg-type]
    remote: RemoteForm = Field(default_factory=RemoteForm)
    worth: WorthForm = Field(default_factory=WorthForm)  # type: ignore[arg-type]
    enabled: Annotated[bool, Field(strict=True)] = True


class LoopChange(LoopDraft):
    """A loop as it shall be; `revision` is the one that was looked at."""

    revision: int = Field(ge=1, le=2**31 - 1, strict=True)


class LoopCheck(BaseModel):
    """Whether a draft could run; why not."""

    ok: bool
    code: str
    message: str
    hint: str


class HandleNow(HandleForm):
    """A handle and where it stands: in force now, and wanted by the newest proposal."""

    now: float | None = None
    target: float | None = None


class LimitNow(LimitForm):
    """A limit, the newest value, and the distance to the nearer limit (negative: beyond)."""

    now: float | None = None
    margin: float | None = None


class FiguresView(BaseModel):
    """The loop in figures, the objective in its unit; null where it is not known yet. What has not
    settled never counts as a gain."""

    now: float | None = Field(None, description="mean over the period that ended last")
    settled: float | None = Field(None, description="the newest settled objective")
    settled_at: int | None = None
    baseline: float | None = Field(None, description="what it would be without the loop")
    best: float | None = Field(None, description="best settled objective so far")
    expected: float | None = Field(None, description="foretold once the plant has settled")
    gain: float | None = Field(None, description="per plant hour, settled, better is positive")
    gain_low: float | None = None
    gain_high: float | None = Field(None, description="95 % lie between low and high")
    gained: float | None = Field(None, description="added up since the loop was promoted")
    gained_in: dict[str, float] = Field(default_factory=dict, description="in money, t, kWh, h")
    integral: float | None = Field(None, description="objective × plant hours since promotion")
    hours: float = Field(0, description="plant hours in the present mode")
    moves: int = Field(0, description="moves since the loop was promoted")


class ConditionView(BaseModel):
    """What the next step of the ladder asks, and what there is."""

    name: str
    met: bool
    have: float | None
    need: float | None
    unit: str
    text: str


class LadderView(BaseModel):
    """Where the loop stands on the ladder, and what is missing for the next step."""

    mode: Mode
    since: int
    up: Mode | None
    down: Mode | None
    may_promote: bool
    conditions: list[ConditionView]


class ProposedMove(BaseModel):
    """One handle of a proposal."""

    sid: int
    before: float | None
    value: float


class VerdictView(BaseModel):
    """What one guard said to a Command."""

    guard: str
    passed: bool
    reason: str


class ProposalView(BaseModel):
    """What the method wanted. `state`: shadow, advice, waiting, approved, rejected, expired,
    superseded, running, done (all its Commands have ended), held (nothing to move) or frozen."""

    id: str
    loop: str
    at: int
    hours: float = Field(description="plant time of the loop")
    state: str
    expires: int | None
    phase: str
    reason: str
    expected: float | None
    objective: float | None = Field(description="mean over the period before it")
    moves: list[ProposedMove]
    approvals: list[str]
    needs: int = Field(description="approvals that are needed; 0 where none is")


class ProposalList(BaseModel):
    """Proposals, newest first."""

    proposals: list[ProposalView]


class LoopView(BaseModel):
    """A loop: its record, how it is doing, where it stands on the ladder."""

    id: str
    revision: int
    name: str
    machine: str
    goal: GoalForm
    goal_sid: int
    handles: list[HandleNow]
    limits: list[LimitNow]
    inputs: list[int]
    clock: int | None
    period_h: float
    settle_h: float
    tolerance: float
    method: str
    settings: dict[str, Any]
    seed: int
    conditions: ConditionsForm
    remote: RemoteForm
    worth: WorthForm
    enabled: bool
    signals: dict[str, int] = Field(description="sids of its own signals, by name")
    mode: Mode
    state: str = Field(description="disabled, waiting, running, frozen or failed")
    why: list[str] = Field(description="why it is frozen or failed")
    phase: str = Field(description="observe, explore, improve, hold, settled; empty at first")
    reason: str = Field(description="what the method said last")
    hours: float = Field(description="plant hours it has seen")
    at: int | None = Field(description="when it decided last, µs UTC")
    figures: FiguresView
    ladder: LadderView
    waiting: ProposalView | None
    method_says: dict[str, Any] = Field(description="what the method tells of itself")


class StopView(BaseModel):
    """The big stop: who pressed it last, when, and which loops it brought to shadow."""

    at: int
    by: str
    reason: str
    loops: list[str]


class DecisionsView(BaseModel):
    """All loops, and the last stop that is still in force (a promotion lifts it)."""

    loops: list[LoopView]
    stopped: StopView | None


class MethodView(BaseModel):
    """A way to decide, and the settings that it takes."""

    name: str
    title: str
    text: str


class MethodList(BaseModel):
    """The ways to decide."""

    methods: list[MethodView]


class Ask(BaseModel):
    """Why somebody does something; kept with it."""

    reason: str = Field("", max_length=500)


class ModeAsk(Ask):
    """The mode that was looked at; `reason` is kept with the change."""

    mode: Mode


class MoveView(BaseModel):
    """A Command, the guards' verdicts and its one Outcome; `ending` is empty while it runs."""

    id: str
    loop: str
    proposal: str
    sid: int
    value: float
    before: float | None
    at: int
    expires: int
    approvals: list[str]
    ending: Literal["", "done", "refused", "failed", "expired"]
    ended: int | None
    reason: str
    guard: str = Field(description="who refused it")
    read_back: float | None
    verdicts: list[VerdictView]


class MoveList(BaseModel):
    """Commands, newest first; `next` continues the list (null at its end)."""

    moves: list[MoveView]
    next: str | None


class SampleView(BaseModel):
    """A value that was used: mean over the period, and the newest sample with its number in the
    stream (history's `as_of`)."""

    sid: int
    mean: float | None
    v: float | None
    ts: int | None
    q: int | None


class CandidateView(BaseModel):
    """A point that was weighed; the values of `u` in the order of the loop's handles."""

    u: list[float]
    cost: float
    cost_low: float
    cost_high: float
    why: str


class ProofView(BaseModel):
    """A piece of evidence: a Fact, and its place in the ledger (null: not entered yet)."""

    id: str
    fact: dict[str, Any]
    proof: dict[str, int] | None


class WhyView(BaseModel):
    """Why a move was made: one page from samples to what happened after."""

    move: MoveView
    loop: dict[str, Any] = Field(description="the loop's record as it was then")
    mode: str
    proposal: ProposalView
    as_of: int = Field(description="sequence: history up to here was known")
    samples: list[SampleView]
    model: str = Field(description="version of what the method knew")
    candidates: list[CandidateView]
    predicted: float | None
    happened: float | None = Field(description="settled objective after it, null before that")
    happened_at: int | None
    evidence: list[ProofView]
