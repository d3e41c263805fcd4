"""What the doors of schedules take and give."""

from typing import Annotated

from pydantic import BaseModel, Field

from lineshaft.rooms.decide.schedule.reading import MOST_BYTES

__all__ = [
    "AdoptRequest", "Breakdown", "CostView", "Gantt", "GanttMachine", "GanttOrder", "GanttRows",
    "GapView", "ProgressView", "ScheduleList", "ScheduleView", "ShopForm", "SolveRequest",
    "VersionList", "VersionView",
]  # fmt: skip

_Id = Annotated[str, Field(min_length=1, max_length=80)]
_Text = Annotated[str, Field(max_length=200)]
_Minutes = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False, strict=True)]
_When = Annotated[int | str, Field(description="ISO 8601, in the shop's zone where it names none; "
                                               "or µs UTC")]  # fmt: skip
_Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, strict=True)]


class ShiftForm(BaseModel):
    """Hours in which a machine is open."""

    days: str = Field(max_length=60, description="such as mon-fri or sat,sun")
    begin: str = Field(max_length=8, description="such as 06:00")
    end: str = Field(max_length=8, description="such as 22:00; before `begin`: the next day")


class WindowForm(BaseModel):
    """A time in which a machine is closed."""

    start: _When
    end: _When
    why: _Text = ""


class MachineForm(BaseModel):
    """A machine; without shifts it is always open."""

    id: _Id
    name: _Text = ""
    shifts: list[ShiftForm] = Field(default_factory=list, max_length=50)
    closed: list[WindowForm] = Field(default_factory=list, max_length=500)
    family: _Text | None = Field(None, description="what it is set up for now")


class OperationForm(BaseModel):
    """A step of an order."""

    id: _Id
    minutes: dict[_Id, _Minutes] = Field(max_length=50, description="work by machine")
    after: list[_Id] | None = Field(None, max_length=200,
                                    description="null: the one written before it")  # fmt: skip
    family: _Text = ""
    may_pause: bool = True


class OrderForm(BaseModel):
    """An order."""

    id: _Id
    name: _Text = ""
    operations: list[OperationForm] = Field(max_length=1000)
    release: _When | None = None
    due: _When | None = None
    weight: _Weight = 1.0


class SetupForm(BaseModel):
    """Minutes between families on a machine; * stands for any."""

    machine: _Id = "*"
    before: _Text = "*"
    after: _Text = "*"
    minutes: _Minutes


class StartedForm(BaseModel):
    """An operation that has begun, and ended where `end` is given."""

    order: _Id
    operation: _Id
    machine: _Id
    start: _When
    end: _When | None = None


class WeightsForm(BaseModel):
    """What a second costs: of lateness (times the order's weight), of makespan, of set-up."""

    tardiness: _Weight = 1.0
    makespan: _Weight = 1.0
    setup: _Weight = 0.0


class ShopForm(BaseModel):
    """A shop: machines, orders (or a table of them), set-ups, what has begun."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    zone: str = Field("UTC", max_length=60)
    start: _When | None = Field(None, description="null: now")
    machines: list[MachineForm] = Field(default_factory=list, max_length=500)
    orders: list[OrderForm] = Field(default_factory=list, max_length=5000)
    orders_csv: Annotated[str, Field(max_length=MOST_BYTES)] | None = None
    setups: list[SetupForm] = Field(default_factory=list, max_length=20_000)
    started: list[StartedForm] = Field(default_factory=list, max_length=20_000)
    weights: WeightsForm = Field(default_factory=WeightsForm)


class SolveRequest(BaseModel):
    """How long to search, from which seed; `adopt` puts what is better in force at the end."""

    seconds: float = Field(10, gt=0, le=600)
    seed: int = Field(1, ge=0, le=2**31 - 1)
    adopt: bool = False


class Breakdown(BaseModel):
    """A machine that is out for some minutes of the shop's time, from `start` (null: now)."""

    machine: _Id
    minutes: float = Field(gt=0, le=525_600, allow_inf_nan=False)
    start: _When | None = None


class AdoptRequest(BaseModel):
    """The revision that was looked at."""

    revision: int = Field(ge=1, le=2**31 - 1)


class CostView(BaseModel):
    """What a schedule costs, and its parts in seconds."""

    total: float
    tardiness: float = Field(description="lateness of all orders, each times its weight")
    makespan: int
    setup: int
    late: int = Field(description="orders after their due date")


class ProgressView(BaseModel):
    """A search: cost of the best by seconds since it began."""

    seconds: float
    at: list[float]
    cost: list[float]
    first: CostView | None
    last: CostView | None
    steps: int
    done: bool
    proved: bool = Field(description="nothing can be better")
    problem: str


class ScheduleView(BaseModel):
    """A plan and how it is doing; stamps are of the shop's time, µs UTC."""

    id: str
    name: str
    kind: str = Field(description="'demo' for the simulated shop")
    revision: int
    state: str = Field(description="proposed, running, over")
    orders: int
    operations: int
    machines: list[str]
    now: int
    speed: float = Field(description="how fast the shop's time runs")
    adopted: CostView | None
    proposal: CostView | None
    method: str = Field(description="what made the schedule in force, or the proposed one")
    progress: ProgressView | None


class ScheduleList(BaseModel):
    """All plans."""

    schedules: list[ScheduleView]


class VersionView(BaseModel):
    """A schedule that held from `at` (wall time, µs UTC) on."""

    at: int
    why: str
    method: str
    cost: CostView


class VersionList(BaseModel):
    """What held, the newest first."""

    versions: list[VersionView]


class GapView(BaseModel):
    """A time in which a machine is closed; `down` where it broke down."""

    start: int
    end: int
    down: bool


class GanttMachine(BaseModel):
    """A line of the chart."""

    id: str
    name: str
    gaps: list[GapView]


class GanttOrder(BaseModel):
    """An order: when it is done, and how late that is."""

    id: str
    name: str
    due: int | None
    end: int
    late_s: int
    weight: float


class GanttRows(BaseModel):
    """The operations as columns; `order` and `machine` are places in their lists, `setup` the
    seconds of set-up before, `state` is 0 to come, 1 running, 2 done."""

    order: list[int]
    operation: list[str]
    machine: list[int]
    start: list[int]
    end: list[int]
    setup: list[int]
    family: list[str]
    state: list[int]


class Gantt(BaseModel):
    """A schedule as a chart."""

    which: str
    now: int
    start: int
    end: int
    cost: CostView
    method: str
    machines: list[GanttMachine]
    orders: list[GanttOrder]
    rows: GanttRows
