"""What may be asked in SQL: one statement that reads, from the tables there are.

Rules: judged is the parsed statement, not its text. Kinds of nodes, tables and table functions are
lists of what is allowed; what a later parser may bring is refused until somebody lets it in. The
type that the parser gives a statement is not enough: `WITH x AS (COPY …) SELECT` is a SELECT to it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lineshaft.core.errors import Refused

__all__ = ["TABLES", "check_statement"]

TABLES: Final = frozenset({"samples", "signals", "facts", "sources", "gaps"})
_NODES: Final = frozenset({
    "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "SHOW_REF",
    "PIVOT", "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER",
    "ASCENDING", "DESCENDING", "ORDER_DEFAULT",
})  # fmt: skip
_TABLE_FUNCTIONS: Final = frozenset(
    {"range", "generate_series", "unnest", "json_each", "json_tree", "histogram_values"}
)
_NO_FUNCTIONS: Final = frozenset({
    "current_setting", "getvariable", "write_log", "parse_duckdb_log_message", "sleep_ms",
    "nextval", "currval", "json_serialize_plan", "json_deserialize_sql",
})  # fmt: skip
_MAX_NODES: Final = 200_000


def check_statement(serialized: str) -> None:
    """Raise Refused where the statement does more than read; `serialized` is what
    `json_serialize_sql` gives for it."""
    parsed = json.loads(serialized)
    if parsed["error"]:
        said = str(parsed.get("error_message", "")).splitlines()[0][:300]
        raise Refused(f"this query cannot be read: {said}",
                      hint="One SELECT statement is answered; see the how-to on SQL",
                      code="sql.form")  # fmt: skip
    if len(parsed["statements"]) != 1:
        raise Refused("one statement at a time", hint="Leave out what follows the first ';'",
                      code="sql.form")  # fmt: skip
    names = set(TABLES)
    nodes = list(_nodes(parsed["statements"]))
    for node in nodes:
        names |= _named_by_with(node)
    for node in nodes:
        _check_node(node, names)


def _nodes(content: Any) -> Iterator[Mapping[str, Any]]:
    """Walk all objects without recursion: depth is the sender's choice."""
    waiting, seen = [content], 0
    while waiting:
        seen += 1
        if seen > _MAX_NODES:
            raise Refused("this query is too large", hint="Ask for less at once", code="sql.form")
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _named_by_with(node: Mapping[str, Any]) -> set[str]:
    found = node.get("cte_map")
    entries = found.get("map", ()) if isinstance(found, dict) else ()
    return {str(entry["key"]).lower() for entry in entries}


def _check_node(node: Mapping[str, Any], names: set[str]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and "class" not in node and kind not in _NODES:
        raise Refused(f"only reading is allowed here, not {kind.lower().removesuffix('_node')}",
                      hint="Ask with SELECT", code="sql.right", status=403)  # fmt: skip
    if kind == "BASE_TABLE":
        name = _plain(node, str(node.get("table_name", "")))
        if name not in names:
            raise Refused(f"there is no table '{name[:100]}'",
                          hint=f"There are {', '.join(sorted(TABLES))}",
                          code="sql.table")  # fmt: skip
    if kind == "TABLE_FUNCTION":
        called = node.get("function")
        name = _function(called) if isinstance(called, dict) else ""
        if name not in _TABLE_FUNCTIONS:
            raise Refused(f"the table function '{name[:100]}' is not for queries here",
                          hint="Files, networks and settings cannot be reached",
                          code="sql.right", status=403)  # fmt: skip
    if node.get("class") == "FUNCTION" and _function(node) in _NO_FUNCTIONS:
        raise Refused(f"the function '{_function(node)}' is not for queries here",
                      hint="Files, networks and settings cannot be reached",
                      code="sql.right", status=403)  # fmt: skip


def _function(node: Mapping[str, Any]) -> str:
    return str(node.get("function_name", "")).lower()


def _plain(node: Mapping[str, Any], name: str) -> str:
    """Return the table's name with what stands before it, in small letters."""
    path = node.get("qualified_name")
    parts = path.get("path", []) if isinstance(path, dict) else []
    spelled = [str(part) for part in parts] or [name]
    return ".".join(spelled).lower()
