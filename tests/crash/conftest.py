from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.site import Site, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site with its bus running, no writer yet, and the tail followed."""
    async with open_site(tmp_path) as opened, opened.following():
        yield opened
