"""Settings: each value has an origin, and what cannot be meant is refused with its place."""

from pathlib import Path

import pytest

from lineshaft.core.errors import Refused
from lineshaft.settings import Settings, load


def _file(folder: Path, content: str) -> Path:
    file = folder / "lineshaft.toml"
    file.write_text(content, "utf-8")
    return file


def test_without_anything_the_defaults_hold() -> None:
    settings, listed = load(None, {})
    assert settings == Settings()
    assert {e.origin for e in listed} == {"default"}
    assert {e.name for e in listed} >= {"http.port", "bus.max_gb", "platform.data"}
    assert all(e.doc for e in listed)


def test_environment_wins_over_file_wins_over_default(tmp_path: Path) -> None:
    file = _file(tmp_path, "[http]\nport = 8500\nhost = 'localhost'\n[history]\ncommit_s = 2\n")
    settings, listed = load(file, {"LINESHAFT__HTTP__PORT": "8600", "HOME": "/x"})
    assert (settings.http.port, settings.http.host) == (8600, "localhost")
    assert settings.history.commit_s == 2.0
    origins = {e.name: e.origin for e in listed}
    assert origins["http.port"] == "LINESHAFT__HTTP__PORT"
    assert origins["http.host"] == str(file)
    assert origins["bus.port"] == "default"
    assert {e.name: e.value for e in listed}["http.port"] == 8600


@pytest.mark.parametrize(
    ("content", "environ", "said"),
    [
        ("[http]\nprot = 1", {}, ("http.prot", "http.port", "lineshaft.toml")),
        ("", {"LINESHAFT__HTTP__PROT": "1"}, ("http.prot", "http.port", "LINESHAFT__HTTP__PROT")),
        ("[htp]\nport = 1", {}, ("htp.port", "http.port")),
        ("[zzzzzzzz]\nqqqqqq = 1", {}, ("zzzzzzzz.qqqqqq", "lineshaft check")),
        ("port = 1", {}, ("'port'", "[http]")),
        ("[http.tls]\nkey = 1", {}, ("http.tls",)),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(
    tmp_path: Path, content: str, environ: dict[str, str], said: tuple[str, ...]
) -> None:
    with pytest.raises(Refused) as refused:
        load(_file(tmp_path, content), environ)
    assert refused.value.code == "settings.unknown"
    assert all(word in str(refused.value) for word in said)


@pytest.mark.parametrize(
    ("content", "environ"),
    [
        ("[http]\nport = 'eight'", {}),
        ("[http]\nport = true", {}),
        ("[http]\nport = [1]", {}),
        ("[http]\nport = 8400.5", {}),
        ("[http]\nhost = 1", {}),
        ("[history]\ncommit_s = '1 s'", {}),
        ("[bus]\nmax_gb = 1979-05-27", {}),
        ("[history]\ncommit_rows = inf", {}),
        ("", {"LINESHAFT__HTTP__PORT": ""}),
        ("", {"LINESHAFT__HTTP__PORT": "8400.5"}),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(
    tmp_path: Path, content: str, environ: dict[str, str]
) -> None:
    with pytest.raises(Refused) as refused:
        load(_file(tmp_path, content), environ)
    assert refused.value.code == "settings.type"
    assert "It must be of type" in str(refused.value)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("http", "host = '0.0.0.0'"),
        ("http", "port = 0"),
        ("http", "port = 70000"),
        ("bus", "port = -1"),
        ("bus", "max_gb = 0"),
        ("bus", "max_gb = inf"),
        ("bus", "max_gb = nan"),
        ("plant", "kind = 'other'"),
        ("plant", "speed = -1"),
        ("plant", "speed = nan"),
        ("plant", "port = 70000"),
        ("history", "commit_rows = 1"),
        ("history", "commit_s = 0"),
        ("history", "margin_gb = -1"),
        ("history", "margin_hours = -1"),
        ("connect", "buffer_samples = 0"),
        ("platform", "site = 'My Site'"),
        ("platform", "site = 'a.b'"),
        ("platform", "enterprise = ''"),
        ("platform", "data = ''"),
    ],
)
def test_a_value_that_cannot_work_is_refused(tmp_path: Path, section: str, line: str) -> None:
    with pytest.raises(Refused) as refused:
        load(_file(tmp_path, f"[{section}]\n{line}\n"), {})
    assert refused.value.code == "settings.value"
    assert f"{section}.{line.split(' ')[0]}" in str(refused.value)
    assert refused.value.hint


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "text.toml").write_text("[http\n")
    for file in (tmp_path / "missing.toml", tmp_path, *tmp_path.glob("*.toml")):
        with pytest.raises(Refused) as refused:
            load(file, {})
        assert refused.value.code == "settings.file"
        assert str(file) in str(refused.value)


def test_the_data_folder_is_absolute() -> None:
    settings, _ = load(None, {"LINESHAFT__PLATFORM__DATA": "~/plant"})
    assert settings.folder == Path.home() / "plant"
    assert Settings().folder.is_absolute()
