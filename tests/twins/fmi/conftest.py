"""The lag as an FMU of FMI 2.0 and of 3.0, compiled once a run."""

from pathlib import Path

import pytest

from tests.twins.fmi import forge


@pytest.fixture(scope="session")
def lags(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("fmu")
    return {version: forge.build(folder, version) for version in (2, 3)}
