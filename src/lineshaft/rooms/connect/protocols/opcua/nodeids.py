"""Node ids that outlive a restart: the namespace by its URI, not by its index.

The form is that of Part 6, 5.3.1.11: `nsu=<uri>;<kind>=<identifier>`, `%` and `;` of the URI as
percent codes; namespace 0, whose index is fixed, goes without `nsu=`.
"""

import base64
import uuid
from collections.abc import Sequence
from typing import Any

from asyncua import ua

__all__ = ["resolve", "spell"]


def spell(node_id: Any, namespaces: Sequence[str]) -> str | None:
    """Return the lasting text of a node id; None where its namespace has no URI."""
    index, kind = int(node_id.NamespaceIndex), node_id.NodeIdType
    identifier: Any = node_id.Identifier
    if kind == ua.NodeIdType.String:
        text = f"s={identifier}"
    elif kind == ua.NodeIdType.Guid:
        text = f"g={identifier}"
    elif kind == ua.NodeIdType.ByteString:
        text = f"b={base64.b64encode(identifier).decode()}"
    else:
        text = f"i={int(identifier)}"
    if index == 0:
        return text
    if index >= len(namespaces):
        return None
    uri = namespaces[index].replace("%", "%25").replace(";", "%3B")
    return f"nsu={uri};{text}"


def resolve(text: str, namespaces: Sequence[str]) -> Any | None:
    """Return the node id as this server numbers it now; None where it does not know the
    namespace or the text is no node id."""
    index = 0
    if text.startswith("nsu="):
        uri, _, text = text[4:].partition(";")
        uri = uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%")
        if uri not in namespaces:
            return None
        index = namespaces.index(uri)
    elif text.startswith("ns="):
        number, _, text = text[3:].partition(";")
        if not number.isdigit() or int(number) > 0xFFFF:
            return None
        index = int(number)
    kind, _, identifier = text.partition("=")
    try:
        if kind == "i":
            return ua.NodeId(ua.Int32(int(identifier)), ua.Int16(index), ua.NodeIdType.Numeric)
        if kind == "s":
            return ua.NodeId(ua.String(identifier), ua.Int16(index), ua.NodeIdType.String)
        if kind == "g":
            return ua.NodeId(uuid.UUID(identifier), ua.Int16(index), ua.NodeIdType.Guid)
        if kind == "b":
            raw = base64.b64decode(identifier, validate=True)
            return ua.NodeId(raw, ua.Int16(index), ua.NodeIdType.ByteString)
    except ValueError:
        pass
    return None
