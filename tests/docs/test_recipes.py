"""SQL and Grafana pages: every query is sent as its reader's tool would send it."""

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from lineshaft.clock import now_us
from tests.web.conftest import House

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
DASHBOARD = json.loads((PAGES / "grafana" / "lineshaft.json").read_text("utf-8"))


def blocks(page: str, language: str) -> list[str]:
    text = (PAGES / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


async def test_every_query_of_the_page_is_answered(house: House, reactor: dict[str, int]) -> None:
    queries = blocks("sql.md", "sql")
    assert len(queries) >= 4
    found = [house.post("sql", {"query": query})["rows"] for query in queries]
    assert [len(rows) > 0 for rows in found[:3]] == [True] * 3


async def test_the_page_names_every_column(house: House, reactor: dict[str, int]) -> None:
    page = (PAGES / "sql.md").read_text("utf-8")
    for name, columns in re.findall(r"^\| `(\w+)` \| (.*?) \|$", page, re.MULTILINE):
        described = house.post("sql", {"query": f"DESCRIBE {name}"})["rows"]
        listed = re.findall(r"`(\w+)`", columns)
        assert [row["column_name"] for row in described] == listed, name


class Grafana:
    """Sends an Infinity query as the plugin's backend does, and reads the answer as it would."""

    def __init__(self, house: House, signals: list[int]) -> None:
        self._house = house
        end = now_us() // 1000 + 1000
        self._variables = {
            "__from": str(end - 900_000), "__to": str(end), "__interval_ms": "15000",
            "signal:csv": ",".join(map(str, signals)),
        }  # fmt: skip

    def expand(self, text: str) -> str:
        expanded = re.sub(r"\$\{([\w:]+)\}", lambda match: self._variables[match[1]], text)
        assert "$" not in expanded, f"a variable that Grafana does not know: {expanded}"
        return expanded

    def ask(self, target: dict[str, Any]) -> list[dict[str, Any]]:
        options = target["url_options"]
        headers = {"Authorization": f"Bearer {self._house.key}", "User-Agent": "Grafana"}
        content = None
        if options["method"] == "POST":
            assert options["body_type"] == "raw"
            headers["Content-Type"] = options["body_content_type"]
            content = self.expand(options["data"]).encode()
        answer = httpx.request(
            options["method"], self._house.url + self.expand(target["url"]), content=content,
            headers=headers, timeout=60,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        if target["type"] == "csv":
            return list(csv.DictReader(io.StringIO(answer.text)))
        rows: list[dict[str, Any]] = answer.json()[target["root_selector"]]
        for row in rows:
            for column in target["columns"]:
                self._check(row[column["selector"]], column["type"])
        return rows

    def _check(self, value: Any, kind: str) -> None:
        begin, end = int(self._variables["__from"]), int(self._variables["__to"])
        if kind == "timestamp_epoch":
            assert begin - 15_000 <= value <= end
        elif kind == "number":
            assert value is None or isinstance(value, int | float)


async def test_the_dashboard_asks_what_the_platform_answers(
    house: House, reactor: dict[str, int]
) -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    offered = Grafana(house, []).ask(variable["query"]["infinityQuery"])
    by_path = {row["__text"]: row["__value"] for row in offered}
    chosen = [by_path[f"lineshaft/demo/chem/tep/reactor/{name}"] for name in reactor]
    assert chosen == list(reactor.values())
    grafana = Grafana(house, chosen)
    samples, means, newest = (grafana.ask(panel["targets"][0]) for panel in DASHBOARD["panels"])
    assert len({row["path"] for row in samples}) == 2 and len(samples) >= 70
    assert {row["path"]: row["value"] for row in newest}.keys() == {
        path for path in by_path if by_path[path] in chosen
    }  # fmt: skip
    names = [name for name in means[0] if not name.endswith(" quality")]
    assert names[0] == "time" and len(names) == 3
    assert datetime.fromisoformat(means[0]["time"]).tzinfo is not None
    assert any(2700 <= float(row[names[1]] or 0) <= 2707 for row in means)
    gaps = DASHBOARD["annotations"]["list"][0]["target"]
    assert isinstance(grafana.ask(gaps), list)


async def test_the_page_shows_the_dashboards_own_queries(reactor: dict[str, int]) -> None:
    (body,) = blocks("grafana.md", "json")
    (address,) = blocks("grafana.md", "text")
    samples, means, _ = (panel["targets"][0] for panel in DASHBOARD["panels"])
    assert json.loads(body) == json.loads(samples["url_options"]["data"])
    assert address.strip() == means["url"]
    everything = json.dumps(DASHBOARD)
    assert "Bearer" not in everything and "ls_" not in everything
