"""The wheel carries the built console; this hook refuses to make one without it.

It never runs npm itself: an editable install (`./dev`) builds the console apart, only when its
sources changed, and a source distribution holds it built already.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Checks that the console is built before it is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Stop a wheel or source distribution without console, with the one command to run."""
        page = Path(self.root, "src/lineshaft/web/static/index.html")
        if version != "editable" and not page.exists():
            raise FileNotFoundError(
                f"the console is not built: {page} is missing. Run `./dev run` once, or in"
                " console/ `npm install --no-save && npm run build`, and build again"
            )
