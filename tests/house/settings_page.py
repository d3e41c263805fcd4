"""The page `docs/reference/settings.md`, made from the settings themselves.

`python -m tests.house.settings_page` writes it; a house test holds it to be current.
"""

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

from lineshaft.settings import Settings, load

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

_HEAD = """\
# Settings

Deployment settings stand in `lineshaft.toml`, one section each. An environment variable wins over
the file: `LINESHAFT__HTTP__PORT=8401`. `lineshaft check` prints the ones in force and where each
came from; an unknown key is refused.

This page is written by `python -m tests.house.settings_page`.
"""


def page() -> str:
    """Return the page as Markdown."""
    _, listed = load(None, {})
    lines = [_HEAD]
    for section in fields(Settings):
        kind = get_type_hints(Settings)[section.name]
        types = get_type_hints(kind)
        lines += [f"## [{section.name}]", "", str(kind.__doc__).strip(), "",
                  "| key | type | default | what it is |", "| --- | --- | --- | --- |"]  # fmt: skip
        for setting in listed:
            owner, key = setting.name.split(".")
            if owner == section.name:
                value = f"`{setting.value!r}`".replace("'", '"')
                lines.append(f"| `{key}` | {types[key].__name__} | {value} | {setting.doc} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), "utf-8")
