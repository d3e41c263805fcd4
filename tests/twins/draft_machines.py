"""Simulated machines of every kind with the signals that a plant would give them.

Each is named as people name things: in English, in Chinese, or by instrument tags; beside what it
shows lie signals that have nothing to do with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.twins.engine.behaviours import LIBRARY
from lineshaft.rooms.twins.engine.compiled import compile_behaviour
from lineshaft.rooms.twins.engine.simulate import simulate

Floats = NDArray[np.float64]
BASE = "acme/north/hall/line-1"
START = 1_790_000_000_000_000


@dataclass
class Made:
    """A simulated machine: its signals and their rows, what feeds which port, and its figures."""

    kind: str
    path: str
    signals: list[Signal]
    columns: tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.int64]]
    ports: Mapping[str, int]
    truth: Mapping[str, float]
    inputs: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a kind of machine is driven and named; `names` by style and port (missing: no signal),
    `period` s, `ranges` of the inputs, `scale` from the port's unit to the signal's."""

    period: float
    ranges: Sequence[tuple[float, float]]
    machine: Mapping[str, tuple[str, str]]
    names: Mapping[str, Mapping[str, str]]
    units: Mapping[str, tuple[str, float, float]] = field(default_factory=dict)
    writable: Sequence[str] = ()


RECIPES: Mapping[str, Recipe] = {
    "lag": Recipe(
        5.0, [(10, 90)],
        {"en": ("press", "Press"), "zh": ("m1", "压榨机"), "tag": ("u100", "U-100")},
        {"en": {"in.drive": "Drive", "out.level": "Thickness"},
         "zh": {"in.drive": "给定", "out.level": "厚度"},
         "tag": {"in.drive": "XV-100", "out.level": "XI-101"}},
        writable=("in.drive",),
    ),
    "thermal-mass": Recipe(
        20.0, [(0, 5), (15, 25)],
        {"en": ("oven-2", "Oven 2"), "zh": ("l2", "二号加热炉"), "tag": ("e200", "E-200")},
        {"en": {"in.power": "Heating power", "in.surroundings": "Ambient temperature",
                "out.temperature": "Oven temperature"},
         "zh": {"in.power": "加热功率", "in.surroundings": "环境温度", "out.temperature": "炉温度"},
         "tag": {"in.power": "JI-200", "out.temperature": "TI-201"}},
        {"in.power": ("W", 1000.0, 0.0)},
    ),
    "tank": Recipe(
        10.0, [(5, 25), (30, 100)],
        {"en": ("tank-3", "Feed tank 3"), "zh": ("g3", "三号储罐"), "tag": ("t300", "T-300")},
        {"en": {"in.inflow": "Inflow", "in.opening": "Outlet valve", "out.level": "Level",
                "out.outflow": "Outflow"},
         "zh": {"in.inflow": "进料流量", "in.opening": "出口阀开度", "out.level": "液位",
                "out.outflow": "出料流量"},
         "tag": {"in.inflow": "FT-301 feed", "in.opening": "LV-300 valve", "out.level": "LT-300"}},
        {"in.inflow": ("L/min", 1000.0 / 60.0, 0.0)},
    ),
    "valve": Recipe(
        1.0, [(5, 95), (2, 4), (0.5, 1.5)],
        {"en": ("valve-7", "Steam valve 7"), "zh": ("f7", "七号调节阀"), "tag": ("fv700",
                                                                                 "FV-700")},
        {"en": {"in.command": "Valve command", "in.upstream": "Upstream pressure",
                "in.downstream": "Downstream pressure", "out.stem": "Valve position feedback",
                "out.flow": "Flow"},
         "zh": {"in.command": "阀位指令", "in.upstream": "阀前压力", "in.downstream": "阀后压力",
                "out.stem": "阀位反馈", "out.flow": "流量"},
         "tag": {"in.command": "FV-700 cmd", "in.upstream": "PT-700 upstream",
                 "in.downstream": "PT-701 downstream", "out.stem": "ZT-700 position",
                 "out.flow": "FT-700"}},
        {"in.upstream": ("kPa", 100.0, 0.0), "in.downstream": ("kPa", 100.0, 0.0)},
        ("in.command",),
    ),
    "pump": Recipe(
        1.0, [(800, 1500), (30, 100)],
        {"en": ("feed-pump", "Feed pump"), "zh": ("b4", "四号给水泵"), "tag": ("p400", "P-400")},
        {"en": {"in.speed": "Speed set-point", "in.opening": "Discharge valve",
                "out.speed": "Speed actual", "out.flow": "Flow", "out.head": "Head",
                "out.power": "Motor power"},
         "zh": {"in.speed": "转速设定", "in.opening": "出口阀开度", "out.speed": "实际转速",
                "out.flow": "流量", "out.head": "扬程", "out.power": "电机功率"},
         "tag": {"in.speed": "SC-400 sp", "in.opening": "FV-400 valve", "out.flow": "FT-400",
                 "out.power": "JT-400"}},
        writable=("in.speed",),
    ),
    "compressor": Recipe(
        5.0, [(8000, 10500), (20, 60), (1, 1.03), (10, 30)],
        {"en": ("compressor-1", "Air compressor"), "zh": ("k5", "五号空压机"),
         "tag": ("k500", "K-500")},
        {"en": {"in.speed": "Speed", "in.opening": "Demand valve opening",
                "in.suction_pressure": "Suction pressure",
                "in.suction_temperature": "Suction temperature",
                "out.pressure": "Receiver pressure",
                "out.flow": "Mass flow", "out.discharge_temperature": "Discharge temperature",
                "out.power": "Power"},
         "zh": {"in.speed": "转速", "in.opening": "阀门开度", "in.suction_temperature": "吸气温度",
                "out.pressure": "罐压力", "out.flow": "流量",
                "out.discharge_temperature": "排气温度",
                "out.power": "功率"},
         "tag": {"in.speed": "ST-500", "in.opening": "PV-500 valve", "out.pressure": "PT-501",
                 "out.flow": "FT-500", "out.power": "JT-500"}},
    ),
    "heat-exchanger": Recipe(
        3.0, [(0.5, 1.5), (70, 90), (0.5, 1.5), (15, 25)],
        {"en": ("cooler-6", "Oil cooler"), "zh": ("h6", "六号换热器"), "tag": ("e600", "E-600")},
        {"en": {"in.hot_flow": "Hot side flow", "in.hot_inlet": "Hot inlet temperature",
                "in.cold_flow": "Cold side flow", "in.cold_inlet": "Cold inlet temperature",
                "out.hot_outlet": "Hot outlet temperature",
                "out.cold_outlet": "Cold outlet temperature"},
         "zh": {"in.hot_flow": "热侧流量", "in.hot_inlet": "热侧进口温度",
                "in.cold_flow": "冷侧流量",
                "in.cold_inlet": "冷侧进口温度", "out.hot_outlet": "热侧出口温度",
                "out.cold_outlet": "冷侧出口温度"},
         "tag": {"in.hot_flow": "FT-600 hot", "in.hot_inlet": "TT-600 hot in",
                 "in.cold_flow": "FT-610 cold", "in.cold_inlet": "TT-610 cold in",
                 "out.hot_outlet": "TT-601 hot out", "out.cold_outlet": "TT-611 cold out"}},
        {"in.hot_flow": ("kg/h", 3600.0, 0.0)},
    ),
    "rotating-machine": Recipe(
        5.0, [(5, 20), (2, 8), (15, 25)],
        {"en": ("motor-8", "Mill motor"), "zh": ("d8", "八号电机"), "tag": ("m800", "M-800")},
        {"en": {"in.drive_torque": "Drive torque", "in.load_torque": "Load torque",
                "in.surroundings": "Ambient temperature", "out.speed": "Speed",
                "out.bearing": "Bearing temperature", "out.vibration": "Vibration"},
         "zh": {"in.drive_torque": "驱动转矩", "in.load_torque": "负载转矩", "out.speed": "转速",
                "out.bearing": "轴承温度", "out.vibration": "振动"},
         "tag": {"in.drive_torque": "drive torque", "in.load_torque": "load torque",
                 "out.speed": "ST-800", "out.bearing": "TT-801 bearing",
                 "out.vibration": "VT-800"}},
    ),
    "station": Recipe(
        60.0, [(40, 110), (0, 18), (0, 1)],
        {"en": ("station-9", "Assembly station 9"), "zh": ("w9", "九号工位"), "tag": ("s900",
                                                                                      "S-900")},
        {"en": {"in.inflow": "Infeed rate", "in.next_level": "Next buffer level",
                "in.running": "Running", "out.level": "Buffer level",
                "out.throughput": "Throughput"},
         "zh": {"in.inflow": "进料节拍", "in.next_level": "下一工位在制品", "in.running": "运行",
                "out.level": "在制品", "out.throughput": "产出"},
         "tag": {"in.inflow": "infeed", "in.next_level": "next level", "in.running": "run",
                 "out.level": "level", "out.throughput": "throughput"}},
    ),
    "conveyor": Recipe(
        5.0, [(30, 90), (6, 14), (0, 1)],
        {"en": ("belt-10", "Conveyor 10"), "zh": ("c10", "十号输送机"), "tag": ("c1000",
                                                                                "C-1000 belt")},
        {"en": {"in.inflow": "Infeed rate", "in.belt_speed": "Belt speed", "in.running": "Running",
                "out.outflow": "Outfeed rate out", "out.load": "Belt load"},
         "zh": {"in.inflow": "进料速率", "in.belt_speed": "皮带速度", "in.running": "运行",
                "out.outflow": "出料速率", "out.load": "带上负载"},
         "tag": {"in.inflow": "in rate", "in.belt_speed": "belt speed", "out.outflow": "out rate"}},
    ),
    "buffer": Recipe(
        20.0, [(20, 100), (20, 100)],
        {"en": ("buffer-11", "Buffer 11"), "zh": ("h11", "十一号缓冲"), "tag": ("b1100",
                                                                                "B-1100 buffer")},
        {"en": {"in.inflow": "Infeed rate", "in.demand": "Demand", "out.level": "Fill level",
                "out.outflow": "Outfeed rate out"},
         "zh": {"in.inflow": "进料速率", "in.demand": "需求指令", "out.level": "存量",
                "out.outflow": "出料速率"},
         "tag": {"in.inflow": "in rate", "in.demand": "demand", "out.level": "level"}},
    ),
    "production-line": Recipe(
        20.0, [(40, 110), (0, 1), (0, 1), (0, 1)],
        {"en": ("line-12", "Line 12"), "zh": ("x12", "十二号产线"), "tag": ("l1200",
                                                                            "L-1200 line")},
        {"en": {"in.infeed": "Infeed rate", "in.running_1": "Running 1",
                "in.running_2": "Running 2",
                "in.running_3": "Running 3", "out.level_1": "Level 1", "out.level_2": "Level 2",
                "out.level_3": "Level 3", "out.throughput_1": "Throughput 1",
                "out.throughput_2": "Throughput 2", "out.throughput_3": "Throughput 3"},
         "zh": {"in.infeed": "进料速率", "in.running_1": "运行 1", "in.running_2": "运行 2",
                "in.running_3": "运行 3", "out.level_1": "在制品 1", "out.level_2": "在制品 2",
                "out.level_3": "在制品 3", "out.throughput_1": "产出 1",
                "out.throughput_2": "产出 2",
                "out.throughput_3": "产出 3"},
         "tag": {"in.infeed": "infeed", "in.running_1": "run 1", "in.running_2": "run 2",
                 "in.running_3": "run 3", "out.level_1": "level 1", "out.level_2": "level 2",
                 "out.level_3": "level 3", "out.throughput_3": "throughput 3"}},
    ),
}  # fmt: skip


def machine(kind: str, style: str, seed: int, rows: int = 1200, first: int = 1) -> Made:
    """Return a simulated machine; its signals have numbers from `first` on."""
    recipe, behaviour = RECIPES[kind], LIBRARY[kind]
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.8, 1.2, rows)) * recipe.period
    u = np.column_stack([
        np.repeat(rng.uniform(low, high, rows), rng.integers(20, 60, rows))[:rows]
        if (low, high) != (0, 1) else np.repeat([1.0, 0.0] * rows, np.column_stack(
            [rng.integers(40, 90, rows), rng.integers(4, 12, rows)]).ravel())[:rows]
        for low, high in recipe.ranges
    ])  # fmt: skip
    p = behaviour.defaults()
    for i, one in enumerate(behaviour.parameters):
        if i in behaviour.delays():
            p[i] = rng.uniform(0, 3) * recipe.period
        elif one.is_fitted and one.low > 0:
            p[i] *= math.exp(rng.uniform(-0.5, 0.5))
    code, delays = compile_behaviour(behaviour), np.array(behaviour.delays(), np.int64)
    x, y = np.empty((rows, len(behaviour.states))), np.empty((rows, len(behaviour.outputs)))
    simulate(code.advance, code.measure, behaviour.start(), p, times, u, delays,
             behaviour.longest_s, x, y)  # fmt: skip
    y = y + rng.normal(size=y.shape) * [one.noise for one in behaviour.outputs]
    ports = {f"in.{one.name}": (one.unit, u[:, i]) for i, one in enumerate(behaviour.inputs)}
    ports |= {f"out.{one.name}": (one.unit, y[:, i]) for i, one in enumerate(behaviour.outputs)}
    return _made(kind, style, recipe, ports, times, rng, first, {
        one.name: float(value) for one, value in zip(behaviour.parameters, p, strict=True)
    })  # fmt: skip


def _made(
    kind: str, style: str, recipe: Recipe, ports: Mapping[str, tuple[str, Floats]], times: Floats,
    rng: np.random.Generator, first: int, truth: Mapping[str, float],
) -> Made:  # fmt: skip
    level, title = recipe.machine[style]
    path, sid = f"{BASE}/{level}", first
    signals, bound, values = list[Signal](), dict[str, int](), list[Floats]()

    def add(name: str, unit: str, column: Floats, kind: Kind = Kind.FLOAT,
            writable: bool = False) -> int:  # fmt: skip
        nonlocal sid
        here = f"{path}/s{sid}" if style != "en" else f"{path}/{name.lower().replace(' ', '-')}"
        signals.append(Signal(sid, here, f"{title} {name}" if style == "zh" else name, kind, unit,
                              source="sim", writable=writable))  # fmt: skip
        values.append(column)
        sid += 1
        return sid - 1

    for port, name in recipe.names[style].items():
        unit, column = ports[port]
        unit, scale, offset = recipe.units.get(port, (unit, 1.0, 0.0))
        is_bool = port.startswith("in.running")
        bound[port] = add(name, "" if is_bool else unit, column * scale + offset,
                          Kind.BOOL if is_bool else Kind.FLOAT,
                          writable=port in recipe.writable)  # fmt: skip
    rows = len(times)
    wander: Floats = np.cumsum(rng.normal(size=rows)) * 0.05
    add("Heartbeat", "1", np.arange(rows, dtype=np.float64) % 1000, Kind.INT)
    add("Cost", "[USD]/h", 100 + wander)
    add("Hall humidity", "%", 45 + wander - wander.mean())
    stamps = START + (times * 1e6).astype(np.int64)
    return Made(
        kind, path, signals,
        (np.repeat(np.arange(first, sid), rows), np.tile(stamps, len(values)),
         np.concatenate(values), np.zeros(rows * len(values), np.int64)),
        bound, truth,
    )  # fmt: skip
