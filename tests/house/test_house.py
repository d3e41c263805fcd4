"""The rules of the house, read off the source: size, docstrings, one clock, no loose ends."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.house.settings_page import PAGE, page

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "lineshaft"
MODULES = sorted(SRC.rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 600, 60

_EXCEPTIONS = {
    (rule, place)
    for line in Path(__file__).with_name("EXCEPTIONS").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
    for rule, place in [line.split(": ")[0].split(" ", 1)]
}
_TREES = {file: ast.parse(file.read_text("utf-8")) for file in MODULES}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _all(*kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    for file, tree in _TREES.items():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, kinds))


def _broken(rule: str, found: dict[str, str]) -> dict[str, str]:
    """Return what breaks a rule and is not excepted; an exception that nothing needs is wrong."""
    excepted = {place for name, place in _EXCEPTIONS if name == rule}
    needless = {place: "listed in EXCEPTIONS, but in order" for place in excepted - found.keys()}
    return {place: why for place, why in found.items() if place not in excepted} | needless


def test_every_exception_has_a_reason() -> None:
    text = Path(__file__).with_name("EXCEPTIONS").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z-]+ \S+: .{10,}", line) for line in lines)
    assert {rule for rule, _ in _EXCEPTIONS} <= {"module-size", "function-size", "name"}
    assert len(lines) <= 12


def test_modules_are_short() -> None:
    sizes = {_name(file): len(file.read_text("utf-8").splitlines()) for file in MODULES}
    long = {name: f"{n} lines" for name, n in sizes.items() if n > MODULE_LINES}
    assert _broken("module-size", long) == {}


def test_functions_can_be_seen_whole() -> None:
    long = {}
    for file, node in _all(ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, Function)
        lines = (node.end_lineno or 0) - node.lineno + 1
        if lines > FUNCTION_LINES:
            long[f"{_name(file)}:{node.name}"] = f"{lines} lines"
    assert _broken("function-size", long) == {}


def test_every_module_opens_with_what_it_is_for() -> None:
    assert [_name(file) for file, tree in _TREES.items() if not ast.get_docstring(tree)] == []


def _public(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def _exported(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == "__all__":
            assert isinstance(node, ast.Assign)
            return set(ast.literal_eval(node.value))
    return None


def test_every_module_lists_its_public_names() -> None:
    wrong = {}
    for file, tree in _TREES.items():
        exported = _exported(tree)
        if exported is None:
            # Alembic and `python -m` look at neither.
            if any(_public(tree)) and "versions" not in file.parts and file.stem != "__main__":
                wrong[_name(file)] = "no __all__"
            continue
        nodes = list(ast.walk(tree))
        defined = {node.id for node in nodes if isinstance(node, ast.Name)} | set(_public(tree))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                defined |= {name.asname or name.name for name in node.names}
        if missing := exported - defined:
            wrong[_name(file)] = f"__all__ names {sorted(missing)}, which are not there"
    assert wrong == {}


_CLOCK = re.compile(
    r"\btime\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|process_time)\b"
    r"|\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|loop(\(\))?\.time\(|\.utcnow\("
    r"|from time import (?!sleep\b)"
)


def test_one_module_reads_the_clock() -> None:
    found = [f"{_name(file)}:{n}" for file in MODULES if file != SRC / "clock.py"
             for n, line in enumerate(file.read_text("utf-8").splitlines(), 1)
             if _CLOCK.search(line)]  # fmt: skip
    assert found == []


def test_the_clock_rule_sees_what_it_must() -> None:
    for line in ("time.time()", "x = time.monotonic()", "datetime.now(UTC)", "loop.time()",
                 "asyncio.get_running_loop().time()", "from time import monotonic"):  # fmt: skip
        assert _CLOCK.search(line), line
    for line in ("runtime.timer()", "asyncio.sleep(1)", "datetime.fromisoformat(x)"):
        assert not _CLOCK.search(line), line


_MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bNotImplementedError\b")


def test_nothing_is_left_for_later() -> None:
    files = [*MODULES, *sorted((ROOT / "bench").rglob("*.py")), ROOT / "dev"]
    files += [f for f in (ROOT / "console" / "src").rglob("*") if f.suffix in {".ts", ".svelte"}]
    found = [f"{_name(file)}:{n}" for file in files
             for n, line in enumerate(file.read_text("utf-8").splitlines(), 1)
             if _MARKS.search(line)]  # fmt: skip
    assert found == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    found = {_name(file): "says nothing" for file in [*MODULES, *(ROOT / "bench").rglob("*.py")]
             if drawers & set(file.relative_to(ROOT).with_suffix("").parts)}  # fmt: skip
    assert _broken("name", found) == {}


def _groups(tree: ast.Module) -> set[str]:
    """Return how a module calls its task groups; those hold the tasks they make."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and "TaskGroup(" in ast.unparse(node.context_expr):
            names.add(ast.unparse(node.optional_vars) if node.optional_vars else "")
        elif isinstance(node, ast.arg) and node.annotation:
            names |= {node.arg} if "TaskGroup" in ast.unparse(node.annotation) else set()
    return names


def test_every_task_is_kept() -> None:
    """A task that nobody holds may be collected in the middle of its work, its error unseen."""
    bare = []
    for file, node in _all(ast.Expr):
        assert isinstance(node, ast.Expr)
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute | ast.Name):
            owner, _, name = ast.unparse(call.func).rpartition(".")
            if name in {"create_task", "ensure_future"} and owner not in _groups(_TREES[file]):
                bare.append(f"{_name(file)}:{call.lineno}")
    assert bare == []


def test_the_page_of_settings_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.house.settings_page"


def _flat(texts: object, at: str = "") -> dict[str, str]:
    if isinstance(texts, dict):
        parts = [_flat(inner, f"{at}/{name}") for name, inner in texts.items()]
        return {key: text for part in parts for key, text in part.items()}
    return {at: str(texts)}


def test_both_languages_say_the_same() -> None:
    folder = ROOT / "console" / "src" / "i18n"
    read = [json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("zh", "en")]
    zh, en = map(_flat, read)
    assert sorted(zh) == sorted(en)
    assert [key for key in zh if not zh[key].strip() or not en[key].strip()] == []
    gaps = re.compile(r"\{(\w+)\}")
    differ = [key for key in zh if set(gaps.findall(zh[key])) != set(gaps.findall(en[key]))]
    assert differ == [], "these show other values in zh than in en"


@pytest.mark.parametrize("name", ["requirements.lock", "console/package-lock.json"])
def test_locks_hold_no_addresses(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert '"resolved"' not in text
    assert "--index-url" not in text
    assert "--hash" not in text
    funding = re.sub(r'"funding":\s*(\{[^}]*\}|\[[^]]*\]|"[^"]*")', "", text)
    assert re.findall(r"\w+://[^\s\"]+", funding) == []
