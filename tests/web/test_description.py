"""The API's description in docs/ is the one the code gives. To renew:
`.venv/bin/python -m tests.web.test_description`, then `npm run types` in console/."""

import json
from pathlib import Path

from lineshaft.app import describe_api

FILE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def test_the_description_is_current() -> None:
    current = json.dumps(describe_api(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert FILE.read_text() == current, "run: .venv/bin/python -m tests.web.test_description"


def test_every_operation_has_a_summary_and_a_unique_id() -> None:
    operations = [op for path in describe_api()["paths"].values() for op in path.values()]
    assert all(op.get("summary") for op in operations)
    ids = [op["operationId"] for op in operations]
    assert len(ids) == len(set(ids))


if __name__ == "__main__":
    FILE.write_text(json.dumps(describe_api(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
