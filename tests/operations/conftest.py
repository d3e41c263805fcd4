"""One platform for all tests of its operation."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.platform import running
from tests.web.conftest import House


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("operated") / "data"
    environ = {"LINESHAFT__HISTORY__COMMIT_S": "0.3"}
    with running(folder, verb="up", environ=environ, kind=House) as platform:
        assert isinstance(platform, House)
        yield platform
