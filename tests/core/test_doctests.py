"""Every example in a docstring of the package runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import lineshaft

_ROOT = Path(lineshaft.__file__).parent
_WITH_EXAMPLES = [
    ".".join(file.relative_to(_ROOT.parent).with_suffix("").parts)
    for file in sorted(_ROOT.rglob("*.py"))
    if ">>> " in file.read_text("utf-8")
]


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
