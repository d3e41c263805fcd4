"""What is no sound FMU is refused before anything of it runs, and the refusal names it."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.fmi import FmuHost, describe
from lineshaft.rooms.twins.fmi import form as form_module
from lineshaft.rooms.twins.fmi import package as package_module
from lineshaft.rooms.twins.fmi.form import parse_form
from lineshaft.rooms.twins.fmi.package import unpack
from tests.twins.fmi import forge

TWO = forge.describe_lag(2)


def _archive(path: Path, **entries: bytes | str) -> Path:
    return _named(path, {"modelDescription.xml": TWO} | entries)


def _named(path: Path, entries: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def _refused(path: Path, words: str, code: str = "fmi.package") -> None:
    for ask in (describe, FmuHost.start):
        with pytest.raises(Refused, match=rf"(?s){path.name}.*{words}") as caught:
            ask(path)
        assert caught.value.code == code


@pytest.mark.parametrize("version", [2, 3])
def test_the_form_says_what_the_fmu_has(tmp_path: Path, version: int) -> None:
    form = describe(forge.pack(tmp_path / "lag.fmu", version, b""))
    assert (form.name, form.version, form.token) == ("Lag", f"{version}.0", "{ours}")
    assert (form.start_s, form.stop_s, form.step_s) == (0, 10, 0.1)
    assert form.can_save and form.variable_step
    ports = {port.name: port for port in form.ports}
    assert "hidden" not in ports
    assert (ports["u"].type, ports["u"].unit, ports["u"].start) == ("Float64", "K", (0,))
    assert (ports["y"].unit, ports["y"].start, ports["y"].description) == ("K", None, "its")
    assert (ports["name"].type, ports["name"].start) == ("String", "a text")
    assert ports["switch"].start == (0,)
    arrays = 3 if version == 3 else 0
    assert (form.n_inputs, form.n_outputs) == (3 + arrays, 3 + arrays)
    assert "name" not in [port.name for port in form.inputs]


@pytest.mark.parametrize(
    ("name", "words"),
    [("../outside", "leads out"), ("/etc/outside", "leads out"), ("a/../../b", "leads out"),
     ("a\\..\\b", "leads out"), ("C:/x", "leads out")],
)  # fmt: skip
def test_no_entry_leads_out_of_the_folder(tmp_path: Path, name: str, words: str) -> None:
    _refused(_archive(tmp_path / "evil.fmu", **{name: b"x"}), words)
    assert [file.name for file in tmp_path.iterdir()] == ["evil.fmu"]


def test_links_and_doubles_and_secrets_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("resources/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = _archive(tmp_path / "link.fmu")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    _refused(path, "is a link")
    path = _archive(tmp_path / "double.fmu")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("modelDescription.xml", "another")
    _refused(path, "is there twice")
    path = _archive(tmp_path / "secret.fmu")
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    _refused(path, "encrypted")
    path = tmp_path / "lzma.fmu"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("modelDescription.xml", TWO)
    _refused(path, "coding")


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "_MAX_UNPACKED", 8 << 20)
    _refused(_archive(tmp_path / "bomb.fmu", **{"resources/x": bytes(9 << 20)}), "unpacks to more")
    # One that lies about its size: the archive's reader stops at the size it says.
    path = _archive(tmp_path / "liar.fmu", **{"resources/x": bytes(9 << 20)})
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.rindex(b"PK\1\2") + 24, 10)
    path.write_bytes(raw)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(Refused, match=r"liar\.fmu"):
        unpack(path, folder)
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 1 << 20


def test_an_archive_of_very_many_entries_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "_MAX_ENTRIES", 99)
    path = tmp_path / "many.fmu"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100):
            archive.writestr(f"{number}", b"")
    _refused(path, "more than 99 entries")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, len(raw) - 10, 5 << 20)
    path.write_bytes(raw)
    _refused(path, "directory is too long")


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"hello" * 100, b"PK\5\6" + b"\xff" * 18])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.fmu"
    path.write_bytes(content)
    _refused(path, "")
    _refused(tmp_path / "absent.fmu", "cannot be read")
    _refused(tmp_path, "cannot be read")


def test_a_torn_archive_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = _archive(tmp_path / "whole.fmu", **{"resources/x": b"x" * 50}).read_bytes()
    path = tmp_path / "torn.fmu"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(Refused, match=r"torn\.fmu"):
            describe(path)
    for at in range(0, len(whole), 3):  # a flipped octet: refused or read, never anything else
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            describe(path)
        except Refused as error:
            assert "torn.fmu" in error.message


def test_without_binaries_for_this_machine_it_says_which_there_are(tmp_path: Path) -> None:
    def refused(path: Path, words: str, hint: str) -> None:
        with pytest.raises(Refused, match=words) as caught:
            FmuHost.start(path)
        assert caught.value.code == "fmi.platform"
        assert hint in caught.value.hint

    path = forge.pack(tmp_path / "win.fmu", 2, b"", place="win64", extra={"sources/a.c": b""})
    refused(path, r"win\.fmu.*binaries only for win64, and none for", "not compiled here")
    refused(forge.pack(tmp_path / "win3.fmu", 3, b"", place="x86_64-windows"), "x86_64-windows",
            "Export it for this machine")  # fmt: skip
    refused(_archive(tmp_path / "none.fmu"), "no binaries at all", "Export it")


ENTITIES = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>"""
DEEP = "<a>" * 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"), ("<a", "cannot be read"), ("<a/>", "FMI version"),
        (ENTITIES + TWO.replace("a lag", "&b;"), "DOCTYPE"),
        (ENTITIES + TWO.replace("a lag", "&f;"), "DOCTYPE"),
        (DEEP, "too deep"), ("<a>" + "<b/>" * 1000 + "</a>", "too many elements"),
        (" " * ((32 << 20) + 1), "longer than"),
        (TWO.replace('fmiVersion="2.0"', 'fmiVersion="1.0"'), "FMI version '1.0'"),
        (TWO.replace("CoSimulation", "ModelExchange"), "no co-simulation"),
        (TWO.replace('Identifier="lag"', 'Identifier="../../lag"'), "no model identifier"),
        (TWO.replace('Identifier="lag"', 'Identifier="lag" needsExecutionTool="true"'), "tool"),
        (TWO.replace('valueReference="0"', 'valueReference="-1"'), "no value reference"),
        (TWO.replace('valueReference="0"', 'valueReference="4294967296"'), "no value reference"),
        (TWO.replace('start="0"', 'start="nought"'), "no number"),
        (TWO.replace('start="0"', 'start="nan"'), "not finite"),
        (TWO.replace('name="y"', 'name="u"'), "two variables are named 'u'"),
        (TWO.replace("<Real ", "<Complex ", 1).replace("Real start", "Odd start"), "no known type"),
        (TWO.encode("utf-16").decode("latin-1"), "cannot be read"),
    ],
)  # fmt: skip
def test_a_description_that_is_broken_or_unfit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr(form_module, "_MAX_ELEMENTS", 1000)
    path = _archive(tmp_path / "odd.fmu", **{"modelDescription.xml": text})
    with pytest.raises(Refused, match=rf"odd\.fmu.*{words}") as caught:
        describe(path)
    assert caught.value.code == "fmi.description"


def test_arrays_are_bounded() -> None:
    three = forge.describe_lag(3)
    assert parse_form(three.encode()).n_inputs == 6
    for old, new in (('<Dimension start="3"/>', '<Dimension start="3000000"/>'),
                     ('<Dimension start="3"/>', '<Dimension start="-3"/>'),
                     ('start="0 0 0"', 'start="0 0"')):  # fmt: skip
        assert old in three
        with pytest.raises(Refused):
            parse_form(three.replace(old, new).encode())


def test_an_fmu_without_description_is_refused(tmp_path: Path) -> None:
    _refused(_named(tmp_path / "bare.fmu", {"readme.txt": b""}), "no modelDescription.xml")
