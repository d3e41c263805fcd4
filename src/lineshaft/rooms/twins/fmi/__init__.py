"""Behaviours of others: FMUs for co-simulation (FMI 2.0 and 3.0), each in a process of its own.

    describe(path) ─▶ FmuForm                     read here, never run here
    FmuHost.start(path) ─▶ child: walls ▶ fmpy ▶ the FMU's machine code
             advance(times, inputs) ─▶ outputs    arrays over a pipe, one message a call

Rules: an FMU is machine code of strangers. It is loaded only in a child that may take so much
memory and no more, has no network, no environment and nobody's files open, and that is killed when
it keeps still for too long; what went wrong names the FMU and the time at which it happened. Other
FMUs and the platform go on.

Standards: FMI 2.0.4 §4.2 (co-simulation), §2.3 (the archive), FMI 3.0.1 §4, §2.5.
"""

from lineshaft.rooms.twins.fmi.form import FmuForm, Port
from lineshaft.rooms.twins.fmi.host import FmuHost, Limits
from lineshaft.rooms.twins.fmi.package import describe

__all__ = ["FmuForm", "FmuHost", "Limits", "Port", "describe"]
