"""Words: what the names of signals and machines say, in English and in Chinese.

Rules: a name is heard as a set of concepts. A Latin word counts when it stands alone (between
anything that is no letter, or at a capital letter), a Chinese one wherever it occurs; of
instrument tags the first letter tells the quantity (ISA-5.1, table 1). A port is heard the same
way, by its name, so behaviours of plug-ins are matched as those of the library are. Nothing here
knows any one plant.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

__all__ = [
    "CLASSES",
    "CONCEPTS",
    "OPPOSITES",
    "QUANTITIES",
    "class_of",
    "concepts",
    "port_concepts",
]

CONCEPTS: Final[Mapping[str, str]] = {
    # Quantities.
    "temperature": "temperature temp temperatures degc 温度 水温 油温 风温",
    "pressure": "pressure press 压力 压强 差压 气压",
    "flow": "flow flowrate inflow outflow underflow overflow 流量 流入 流出",
    "level": "level height fill content queue stock count wip 液位 料位 水位 油位 存量 在制品",
    "speed": "speed rpm rotation 转速 速度",
    "power": "power heating wattage work kw 功率 电功率 加热",
    "torque": "torque moment 转矩 扭矩 力矩",
    "vibration": "vibration vib velocity rms 振动 震动 振速",
    "opening": "opening valve damper position travel stem 开度 阀 阀位 行程",
    "head": "head lift 扬程 压头",
    "throughput": "throughput output produced production pace 产出 产量 产能 节拍",
    "running": "running run on active working 运行 开机 启停",
    # Places.
    "inflow": "inflow in inlet feed supply filling fill infeed incoming 流入 进 进料 进口 "
              "入口 给水 来料",
    "outflow": "outflow out outlet drain discharge underflow effluent product 流出 出 出料 出口 排",
    "inlet": "inlet in entering entry feed supply 进口 入口 进 供",
    "outlet": "outlet out leaving exit return 出口 出 回",
    "hot": "hot primary steam heating 热 热侧 一次侧 蒸汽",
    "cold": "cold secondary cool cooling coolant 冷 冷侧 二次侧",
    "suction": "suction intake 吸 吸入 吸气 进气",
    "discharge": "discharge delivery exhaust 排 排出 排气 出气",
    "upstream": "upstream before p1 上游 阀前 前",
    "downstream": "downstream after behind p2 下游 阀后 后",
    "drive": "drive motor driving shaft 驱动 电机 马达",
    "load": "load loading brake 负载 负荷 制动",
    "bearing": "bearing 轴承",
    "surroundings": "surroundings ambient outside room environment 环境 室温 周围 外部",
    "next": "next following 下一 下游 后一 后序 后段",
    "left": "left first 左 一号",
    # Parts played.
    "command": "command cmd demand setpoint sp set target reference op mv 指令 设定 给定 目标",
    "measured": "actual measured feedback fb pv act readback 实际 反馈 实测 测量",
    "stem": "stem position travel feedback actual readback 阀位 行程 反馈",
    # What no machine is moved by.
    "other": "margin cost price profit income heartbeat counter alarm trip clock serial version "
             "成本 利润 收入 心跳 计数 报警 裕度 距跳车 距高限 距低限 距上限",
}  # fmt: skip

QUANTITIES: Final = (
    "temperature", "pressure", "flow", "level", "speed", "power", "torque", "vibration", "opening",
    "head", "throughput", "running",
)  # fmt: skip

OPPOSITES: Final = (
    ("hot", "cold"), ("inlet", "outlet"), ("inflow", "outflow"), ("suction", "discharge"),
    ("upstream", "downstream"), ("drive", "load"), ("command", "measured"),
    ("command", "stem"), ("suction", "outlet"), ("inlet", "discharge"), ("inlet", "outflow"),
    ("outlet", "inflow"),
)  # fmt: skip

# What ports of the library mean beyond the words of their names.
_PORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "inflow": ("inflow", "flow"), "outflow": ("outflow", "flow"), "stem": ("stem",),
    "command": ("command",), "upstream": ("upstream", "pressure"),
    "downstream": ("downstream", "pressure"), "hot_inlet": ("hot", "inlet", "temperature"),
    "cold_inlet": ("cold", "inlet", "temperature"),
    "hot_outlet": ("hot", "outlet", "temperature"),
    "cold_outlet": ("cold", "outlet", "temperature"), "bearing": ("bearing", "temperature"),
    "surroundings": ("surroundings", "temperature"), "next_level": ("next", "level"),
    "infeed": ("inflow",), "demand": ("command",),
}  # fmt: skip

# Classes of machines: words of their names, and the behaviours that show one.
CLASSES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "tank": ("tank vessel drum silo hopper basin sump cistern receiver 罐 槽 水箱 油箱 池 "
             "料仓 塔釜",
             ("tank", "four-tanks")),
    "valve": ("valve damper gate 阀 阀门 调节阀", ("valve",)),
    "pump": ("pump 泵 水泵", ("pump",)),
    "compressor": ("compressor blower 压缩机 空压机 鼓风机", ("compressor",)),
    "heat-exchanger": ("exchanger hx cooler condenser preheater chiller heatexchanger economizer "
                       "换热器 换热 冷却器 冷凝器 预热器", ("heat-exchanger",)),
    "thermal-mass": ("reactor oven furnace kiln kettle autoclave boiler heater extruder jacket "
                     "反应器 反应釜 釜 炉 窑 烘箱 加热器 夹套", ("thermal-mass",)),
    "rotating-machine": ("motor turbine spindle rotor fan generator mill agitator centrifuge "
                         "gearbox "
                         "电机 马达 汽轮机 风机 主轴 转子 发电机 搅拌 离心机 齿轮箱",
                         ("rotating-machine",)),
    "station": ("station cell workstation robot assembly press machining 工位 工站 机台 装配 "
                "机器人",
                ("station",)),
    "conveyor": ("conveyor belt transport 输送 输送机 传送 皮带", ("conveyor",)),
    "buffer": ("buffer accumulator queue magazine 缓冲 缓存 料架", ("buffer",)),
    "production-line": ("line 产线 生产线 流水线", ("production-line",)),
}  # fmt: skip

_TAG: Final = re.compile(r"(?<![A-Za-z])([TPFLSVJZ])[DFIQ]?[ICRTEAYS]{1,3}(?![A-Za-z])")
_LETTERS: Final = {
    "T": "temperature", "P": "pressure", "F": "flow", "L": "level", "S": "speed",
    "V": "vibration", "J": "power", "Z": "opening",
}  # fmt: skip
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _heard(text: str, listed: str) -> bool:
    """Return whether any of these words occurs in a text."""
    plain = unicodedata.normalize("NFKC", text)
    tokens = set(re.split(r"[^a-z0-9]+|(?<=[a-z])(?=[0-9])", _CAMEL.sub(" ", plain).lower()))
    tokens |= {token.rstrip("s") for token in tokens if len(token) > 4}
    return any(word in tokens if word.isascii() else word in plain for word in listed.split())


@functools.lru_cache(maxsize=20_000)
def concepts(text: str) -> frozenset[str]:
    """Return what a name says.

    >>> sorted(concepts("Hot inlet temperature")), sorted(concepts("TIC-101"))
    (['hot', 'inflow', 'inlet', 'temperature'], ['temperature'])
    >>> sorted(concepts("轴承温度"))
    ['bearing', 'temperature']
    """
    found = {name for name, listed in CONCEPTS.items() if _heard(text, listed)}
    if not found & set(QUANTITIES):
        found |= {_LETTERS[match[1]] for match in _TAG.finditer(text)}
    return frozenset(found)


def port_concepts(name: str) -> tuple[str, ...]:
    """Return what a port asks of a signal's name, by the port's own.

    >>> port_concepts("discharge_temperature"), port_concepts("level_1")
    (('discharge', 'temperature'), ('level',))
    """
    if name in _PORTS:
        return _PORTS[name]
    words = [word for word in name.split("_") if not word.isdigit()]
    return tuple(word for word in words if word in CONCEPTS)


@functools.lru_cache(maxsize=20_000)
def class_of(text: str) -> frozenset[str]:
    """Return the classes of machines that a name speaks of.

    >>> sorted(class_of("Feed pump 3")), sorted(class_of("2 号换热器"))
    (['pump'], ['heat-exchanger'])
    """
    return frozenset(name for name, (listed, _) in CLASSES.items() if _heard(text, listed))


def is_clock(text: str) -> bool:
    """Return whether a name speaks of a time that runs on.

    >>> is_clock("Plant clock"), is_clock("Run-up"), is_clock("装置时钟")
    (True, False, True)
    """
    return _heard(text, "clock time hours runtime 时钟 时间 小时")


def is_pace(text: str) -> bool:
    """Return whether a name may speak of how fast time runs."""
    return _heard(text, "speed rate factor pace acceleration 速度 倍率 倍速")
