"""FMUs of our own, compiled from `lag.c`: FMI 2.0 and 3.0, good ones and bad ones."""

import platform
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import fmpy.fmi2
import fmpy.fmi3

__all__ = ["MODES", "build", "describe_lag", "has_compiler", "pack"]

MODES = {
    name: number for number, name in enumerate(
        ("good", "hangs", "segv", "greedy", "fails", "nans", "prints", "exits", "ends", "lurks",
         "outside", "starts", "forks")
    )
}  # fmt: skip
_SOURCE = Path(__file__).with_name("lag.c")


def has_compiler() -> None:
    """Fail with the one line that helps where there is no compiler."""
    if not shutil.which("cc"):
        raise RuntimeError(
            "cc is missing: apt-get install -y --no-install-recommends gcc libc6-dev"
        )


def build(folder: Path, version: int) -> Path:
    """Compile and pack the FMU of that FMI version; return its path."""
    has_compiler()
    slave = fmpy.fmi2.FMU2Slave if version == 2 else fmpy.fmi3.FMU3Slave
    source = _SOURCE.read_text("utf-8")
    defined = set(re.findall(r"\b(fmi\d\w+)\(", source))
    missing = sorted(n for n in dir(slave) if n.startswith(f"fmi{version}") and n not in defined)
    file = folder / f"lag{version}.c"
    file.write_text(source + "".join(f"int {name}(void) {{ return ERROR; }}\n" for name in missing))
    library = folder / f"lag{version}.so"
    flags = ["-shared", "-fPIC", "-O1", "-w", f"-DFMI={version}"]
    subprocess.run(["cc", *flags, str(file), "-o", str(library), "-lm"], check=True)
    return pack(folder / f"lag{version}.fmu", version, library.read_bytes())


def pack(path: Path, version: int, library: bytes, **more: Any) -> Path:
    """Write an archive with this library; `more`: `text` of the description, `place`, `extra`."""
    machine = platform.machine()
    place = "linux64" if version == 2 and machine == "x86_64" else f"{machine}-linux"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("modelDescription.xml", more.get("text", describe_lag(version)))
        archive.writestr(f"binaries/{more.get('place', place)}/lag.so", library)
        for name, content in more.get("extra", {}).items():
            archive.writestr(name, content)
    return path


#: name, reference, causality, type, start, unit
_VARIABLES = (
    ("u", 0, "input", "Float64", "0", "K"),
    ("switch", 6, "input", "Boolean", "false", ""),
    ("n", 5, "input", "Int32", "0", ""),
    ("vector", 9, "input", "Float64", "0 0 0", ""),
    ("y", 1, "output", "Float64", "", "heat"),
    ("is_on", 7, "output", "Boolean", "", ""),
    ("count", 4, "output", "Int32", "", ""),
    ("double", 10, "output", "Float64", "", ""),
    ("gain", 2, "parameter", "Float64", "1", ""),
    ("tau", 3, "parameter", "Float64", "2", "s"),
    ("mode", 8, "parameter", "Int32", "0", ""),
    ("name", 20, "input", "String", "a text", ""),
    ("hidden", 21, "local", "Float64", "", ""),
    ("width", 30, "structuralParameter", "UInt64", "3", ""),
)  # fmt: skip
_ARRAYS = {"vector", "double", "width"}


def describe_lag(version: int) -> str:
    """Return the model description; the arrays are in FMI 3.0 alone."""
    can = "State" if version == 3 else "state"
    head = (
        f'<fmiModelDescription fmiVersion="{version}.0" modelName="Lag" description="a lag" '
        f'{"guid" if version == 2 else "instantiationToken"}="{{ours}}">'
        '<CoSimulation modelIdentifier="lag" canHandleVariableCommunicationStepSize="true" '
        f'canGetAndSetFMU{can}="true" canSerializeFMU{can}="true"/><TypeDefinitions>'
    )
    heat = '<SimpleType name="heat"><Real unit="K"/></SimpleType>'
    if version == 3:
        heat = '<Float64Type name="heat" unit="K"/>'
    experiment = '<DefaultExperiment startTime="0" stopTime="10" stepSize="0.1"/>'
    rows = [_variable(version, *row) for row in _VARIABLES if version == 3 or row[0] not in _ARRAYS]
    return "".join((head, heat, "</TypeDefinitions>", experiment, "<ModelVariables>", *rows,
                    "</ModelVariables><ModelStructure/></fmiModelDescription>"))  # fmt: skip


def _variable(
    version: int, name: str, number: int, causality: str, kind: str, start: str, unit: str
) -> str:
    about = f'name="{name}" valueReference="{number}" causality="{causality}" description="its"'
    begins = f' start="{start}"' if start else ""
    measured = f' {"declaredType" if unit == "heat" else "unit"}="{unit}"' if unit else ""
    if version == 2:
        kind = {"Float64": "Real", "Int32": "Integer"}.get(kind, kind)
        return f"<ScalarVariable {about}><{kind}{begins}{measured}/></ScalarVariable>"
    below = {"vector": '<Dimension valueReference="30"/>', "double": '<Dimension start="3"/>',
             "name": f'<Start value="{start}"/>'}.get(name, "")  # fmt: skip
    begins = "" if kind == "String" else begins
    return f"<{kind} {about}{begins}{measured}>{below}</{kind}>"
