"""Looking round a server: its variables as drafts of signals.

Rules: breadth first without recursion, in batches within the server's own limits; a node is met
once, so circles end; at most MAX_NODES variables, MAX_VISITS nodes and MAX_DEPTH levels, beyond
which the answer says `truncated`; namespace 0 (the server's own affairs) is left out; a variable
that is no scalar number, truth value or text is left out; what one node refuses costs that node
alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asyncua import ua

from lineshaft.core.errors import Broken
from lineshaft.core.signals import Kind
from lineshaft.rooms.connect.model import MAX_NODES, Node
from lineshaft.rooms.connect.naming import paths_of
from lineshaft.rooms.connect.protocols.opcua.nodeids import spell
from lineshaft.rooms.connect.protocols.opcua.session import STEP_S, Session
from lineshaft.rooms.connect.protocols.opcua.units import unit_of

__all__ = ["Survey", "browse", "limit_of"]

MAX_VISITS: Final = 100_000
MAX_DEPTH: Final = 24
_BATCH: Final = 1000
_HIERARCHICAL: Final = 33  # HierarchicalReferences, Part 5
_PROPERTIES: Final = {
    "EngineeringUnits", "EURange", "InstrumentRange", "ValuePrecision", "Decimals", "NormalLow",
    "NormalHigh", "LowLimit", "HighLimit", "MinimumSamplingInterval",
}  # fmt: skip
_ATTRIBUTES: Final = (
    ua.AttributeIds.Value, ua.AttributeIds.DataType, ua.AttributeIds.UserAccessLevel,
    ua.AttributeIds.Description,
)  # fmt: skip
_KINDS: Final = {
    1: Kind.BOOL, **dict.fromkeys(range(2, 10), Kind.INT), 10: Kind.FLOAT, 11: Kind.FLOAT,
    12: Kind.STRING, 13: Kind.STRING, 21: Kind.STRING, 26: Kind.FLOAT, 27: Kind.INT, 28: Kind.INT,
    29: Kind.INT, 290: Kind.FLOAT, 294: Kind.STRING,
}  # fmt: skip
_CURRENT_WRITE: Final = 2


@dataclass(frozen=True, slots=True)
class Survey:
    """What a server holds: its name, its variables, and whether there were too many."""

    name: str
    uri: str
    nodes: Sequence[Node]
    truncated: bool


@dataclass(slots=True)
class _Found:
    """A variable while it is being looked at."""

    node_id: Any
    trail: tuple[str, ...]
    name: str
    properties: dict[str, Any] = field(default_factory=dict)


async def browse(session: Session, name: str = "") -> Survey:
    """Return the variables below Objects, with paths below the source's prefix; `name` becomes
    the machine of variables that lie in no folder."""
    namespaces = await session.namespaces()
    at_once = min(_BATCH, await limit_of(session, 11710))
    found, truncated = await _walk(session, at_once)
    read_at_once = min(_BATCH, await limit_of(session, 11705))
    nodes = await _describe(session, found, namespaces, read_at_once)
    server = str(await session.read_value(ua.ObjectIds.Server_ServerArray) or "")
    uris = [str(uri) for uri in namespaces[1:2]]
    paths = paths_of([one.trail for one, _ in nodes], name or "server")
    placed = [replace(node, path=path) for (_, node), path in zip(nodes, paths, strict=True)]
    return Survey(server[:200] or name, uris[0] if uris else "", placed, truncated)


async def limit_of(session: Session, node: int, default: int = 1000) -> int:
    """Return an operation limit of the server (Part 5, 6.3.11); 0 and silence mean none."""
    try:
        value = await session.read_value(node)
    except Broken:
        return default
    return int(value) if isinstance(value, int) and value > 0 else default


async def _walk(session: Session, at_once: int) -> tuple[list[_Found], bool]:
    """Visit every node below Objects once, level by level."""
    start = ua.NodeId(ua.Int32(ua.ObjectIds.ObjectsFolder))
    variables: list[_Found] = []
    seen: set[Any] = {start}
    level: list[tuple[Any, tuple[str, ...], _Found | None]] = [(start, (), None)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[Any, tuple[str, ...], _Found | None]] = []
        for batch in _batches(level, at_once):
            answers = await _references(session, [node for node, _, _ in batch])
            for (_, trail, owner), references in zip(batch, answers, strict=True):
                for ref in references:
                    node = _local(ref)
                    browse_name = str(ref.BrowseName.Name or "")[:200]
                    if owner is not None and browse_name in _PROPERTIES:
                        owner.properties.setdefault(browse_name, node)
                        continue
                    if node.NamespaceIndex == 0 or node in seen or not browse_name:
                        continue
                    if len(seen) >= MAX_VISITS or len(variables) >= MAX_NODES:
                        return variables, True
                    seen.add(node)
                    path = (*trail, browse_name)
                    one = None
                    if ref.NodeClass == ua.NodeClass.Variable:
                        if ref.ReferenceTypeId.Identifier == ua.ObjectIds.HasProperty:
                            continue
                        shown = str(ref.DisplayName.Text or browse_name)[:200]
                        one = _Found(node, path, shown)
                        variables.append(one)
                    below.append((node, path, one))
        level = below
        if not level:
            return variables, False
    return variables, True


async def _references(session: Session, nodes: Sequence[Any]) -> list[list[Any]]:
    """Return the forward hierarchical references of each node, continued to the end."""
    request = ua.BrowseRequest()
    request.Parameters.RequestedMaxReferencesPerNode = ua.UInt32(0)
    request.Parameters.NodesToBrowse = [
        ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=ua.BrowseDirection.Forward,
            ReferenceTypeId=ua.NodeId(ua.Int32(_HIERARCHICAL)),
            IncludeSubtypes=True,
            NodeClassMask=ua.UInt32(ua.NodeClass.Object | ua.NodeClass.Variable),
            ResultMask=ua.UInt32(ua.BrowseResultMask.All),
        )
        for node in nodes
    ]
    answer: Any = await session.call(request, ua.BrowseResponse, 4 * STEP_S)
    results = list(answer.Results)
    if len(results) != len(nodes):
        raise Broken("the server answered for other nodes than asked", code="opcua.response")
    references = [list(result.References or []) for result in results]
    open_ends = {i: r.ContinuationPoint for i, r in enumerate(results) if r.ContinuationPoint}
    total = 0
    while open_ends and total < MAX_VISITS:
        more = ua.BrowseNextRequest()
        more.Parameters.ContinuationPoints = list(open_ends.values())
        next_answer: Any = await session.call(more, ua.BrowseNextResponse, 4 * STEP_S)
        following = {}
        for index, result in zip(open_ends, next_answer.Parameters.Results, strict=False):
            references[index].extend(result.References or [])
            total += len(result.References or [])
            if result.ContinuationPoint and result.References:
                following[index] = result.ContinuationPoint
        open_ends = following
    return references


def _local(ref: Any) -> Any:
    """Return the node id of a reference's target as this server numbers it."""
    node = ref.NodeId
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


async def _describe(
    session: Session, found: Sequence[_Found], namespaces: Sequence[str], at_once: int
) -> list[tuple[_Found, Node]]:
    """Read what is known of each variable, and leave out what cannot be a signal."""
    wanted = [(one.node_id, attribute) for one in found for attribute in _ATTRIBUTES]
    wanted += [(node, ua.AttributeIds.Value) for one in found for node in one.properties.values()]
    answers: list[Any] = []
    for batch in _batches(wanted, at_once):
        answers += await _read(session, batch)
    properties = iter(answers[len(found) * len(_ATTRIBUTES) :])
    described = []
    for index, one in enumerate(found):
        first = index * len(_ATTRIBUTES)
        value, data_type, access, text = answers[first : first + len(_ATTRIBUTES)]
        own = {name: _plain(next(properties)) for name in one.properties}
        node_id = spell(one.node_id, namespaces)
        kind = _kind(value, _plain(data_type))
        if kind is None or node_id is None:
            continue
        described.append((one, _node(one, node_id, kind, value, _plain(access), _plain(text), own)))
    return described


async def _read(session: Session, wanted: list[tuple[Any, Any]]) -> list[Any]:
    """Read a batch; where the answer cannot be understood, find the one value that spoils it."""
    try:
        return await session.read(wanted)
    except Broken as error:
        if error.code != "opcua.response":
            raise
        if len(wanted) == 1:
            return [ua.DataValue()]
    half = len(wanted) // 2
    return await _read(session, wanted[:half]) + await _read(session, wanted[half:])


def _node(
    one: _Found, node_id: str, kind: Kind, value: Any, access: Any, text: Any, own: dict[str, Any]
) -> Node:
    eu, span = own.get("EngineeringUnits"), own.get("EURange") or own.get("InstrumentRange")
    unit = ""
    if isinstance(eu, ua.EUInformation):
        shown = str(eu.DisplayName.Text or "") if eu.DisplayName else ""
        unit = unit_of(str(eu.NamespaceUri or ""), int(eu.UnitId or 0), shown)
    numeric = kind in {Kind.FLOAT, Kind.INT}
    low, high = (span.Low, span.High) if isinstance(span, ua.Range) and numeric else (None, None)
    precision = own.get("Decimals", own.get("ValuePrecision"))
    return Node(
        node_id=node_id,
        path="",
        name=one.name,
        kind=kind,
        unit=unit,
        low=_number(low),
        high=_number(high),
        limit_low=_number(own.get("NormalLow", own.get("LowLimit"))) if numeric else None,
        limit_high=_number(own.get("NormalHigh", own.get("HighLimit"))) if numeric else None,
        decimals=int(precision) if isinstance(precision, int | float) and 0 <= precision <= 15
        else None,
        writable=isinstance(access, int) and bool(access & _CURRENT_WRITE),
        value=_shown_value(_plain(value)),
        description=str(getattr(text, "Text", None) or "")[:1000],
    )  # fmt: skip


def _kind(value: Any, data_type: Any) -> Kind | None:
    """Return the kind by the declared data type, or by the value where that is not built in;
    None for arrays and structures."""
    variant = value.Value
    if variant is not None and (variant.is_array or isinstance(variant.Value, list)):
        return None
    declared = None
    if isinstance(data_type, ua.NodeId) and data_type.NamespaceIndex == 0:
        declared = _KINDS.get(int(data_type.Identifier))
    if declared is not None:
        return declared
    if variant is None or variant.Value is None:
        return None
    return _KINDS.get(int(variant.VariantType.value))


def _plain(value: Any) -> Any:
    return None if value.Value is None else value.Value.Value


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None


def _shown_value(value: Any) -> float | int | bool | str | None:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 53):
        return value
    if isinstance(value, int | float):
        return _number(value)
    text = getattr(value, "Text", value)
    return None if text is None else str(text)[:200]


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    return (list(items[i : i + size]) for i in range(0, len(items), size))
