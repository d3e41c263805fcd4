"""The route to `tep-studio`: only the compiled kernel, the variable schema and the controller.

`import tep_studio` also loads gymnasium, pandas, scipy and matplotlib: 2 s and 120 MB that a plant
never uses. So its submodules are loaded below bare parent packages, which takes 0.03 s and 1 MB,
and are taken out of `sys.modules` again: whoever imports the whole package later gets it whole.
The package is used, never copied: its C model comes with a licence of its own (see `NOTICE`).
"""

import importlib
import importlib.metadata
import importlib.util
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lineshaft.core.errors import Broken

__all__ = ["NOTICE", "Binding", "load"]

NOTICE = (
    "Tennessee Eastman Process model: J. J. Downs and E. F. Vogel, Computers & Chemical "
    "Engineering 17 (1993); revised C model by A. Bathelt, N. L. Ricker and M. Jelali, "
    "IFAC-PapersOnLine 48-8 (2015), redistributed by the package tep-studio (BSD-3-Clause for the "
    "package, which grants no rights in the model) for research and educational use."
)
_VERSION = "0.2"
_PARENTS = ("tep_studio", "tep_studio.simulation", "tep_studio.control")
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Binding:
    """What the adapter uses of the package."""

    kernel: Any
    schema: Any
    controller: Any
    setpoints: Any
    registry: Any


def load() -> Binding:
    """Load the package's parts; raise Broken that says in one sentence why it cannot run here."""
    with _lock:
        found = {name for name in sys.modules if name.split(".")[0] == "tep_studio"}
        try:
            if "tep_studio" not in found:
                _bare_parents()
            native = importlib.import_module("tep_studio.simulation.native")
            schema = importlib.import_module("tep_studio.simulation.schema")
            controller = importlib.import_module("tep_studio.control.controller")
            registry = importlib.import_module("tep_studio.control.registry")
        except ImportError as error:
            raise Broken(
                "The Tennessee Eastman plant cannot run here: its package tep-studio is not "
                "installed or its C model is not built",
                hint="Install a C compiler (apt-get install gcc python3-dev), then the extra "
                "'plants'",
                code="plant.tep",
                retryable=False,
            ) from error
        finally:
            for name in [n for n in sys.modules if n.split(".")[0] == "tep_studio"]:
                if name not in found:
                    del sys.modules[name]
    return Binding(
        native.NativeTEPKernel,
        schema.TEP_SCHEMA,
        controller.RickerMultiLoopController,
        controller.ControllerSetpoints,
        registry.RICKER_MODE1,
    )


def _bare_parents() -> None:
    spec = importlib.util.find_spec("tep_studio")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("tep-studio is not installed")
    version = importlib.metadata.version("tep-studio")
    if not version.startswith(_VERSION + "."):
        raise ImportError(f"tep-studio {version} is not {_VERSION}")
    root = Path(next(iter(spec.submodule_search_locations)))
    for name in _PARENTS:
        parent = ModuleType(name)
        parent.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = parent
