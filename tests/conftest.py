"""What holds for all tests: which may be skipped, and what a browser test needs.

With `CI=true` a skipped test fails unless a line of `tests/SKIPS` (`node id or glob: reason`)
names it: a machine that lacks a tool must say so in the open.
"""

import os
import shutil
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is not a wrong program: no deadline per example; the same examples every time.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

_NO_CHROMIUM = (
    "chromium is missing: apt-get install -y --no-install-recommends chromium fonts-noto-cjk"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what drives a browser where there is none."""
    if shutil.which("chromium"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=_NO_CHROMIUM))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn an unlisted skip of a test into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_unlisted(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn an unlisted skip of a whole module into a failure."""
    report = yield
    if report.skipped:
        _fail_unlisted(report)
    return report


def _fail_unlisted(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and not _listed(report.nodeid):
        report.outcome = "failed"  # type: ignore[assignment]
        report.longrepr = f"skipped, but not named in tests/SKIPS: {report.longrepr}"


def _listed(nodeid: str) -> bool:
    lines = Path(__file__).with_name("SKIPS").read_text("utf-8").splitlines()
    rules = (line.rpartition(": ") for line in lines if line and not line.startswith("#"))
    return any(fnmatchcase(nodeid, glob) and reason for glob, _, reason in rules)
