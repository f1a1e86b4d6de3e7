"""The documents agree with the code: every configuration key, every relative link and heading."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.config import keys

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def test_every_configuration_key_is_in_the_readme_with_its_default() -> None:
    table = _config_table()
    missing = [row for row in table.splitlines() if row not in (ROOT / "README.md").read_text().splitlines()]
    assert not missing, "run `scripts/config_table.py --write README.md`"


def test_the_table_has_every_key_and_a_meaning_for_each() -> None:
    rows = _config_table().splitlines()[2:]
    assert len(rows) == len(keys())
    for (section, key, _, meaning), row in zip(keys(), rows, strict=True):
        assert f"`[{section}] {key}`" in row
        assert meaning.endswith("."), (section, key)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_resolve(document: Path) -> None:
    assert broken_links(document, ROOT) == []


def test_the_link_check_sees_broken_links(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One `heading`, here\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](there.md) [b](there.md#one-heading-here) [c](#here) [d](https://example.org/x) `[e](no.md)`\n"
        "[f](gone.md) [g](there.md#gone) [h](../outside.md)\n"
    )
    assert broken_links(page, tmp_path) == ["gone.md", "there.md#gone", "../outside.md"]


def broken_links(document: Path, root: Path) -> list[str]:
    """Links of `document` that lead to no file under `root`, or to no heading."""
    return [link for link in LINK.findall(CODE.sub("", document.read_text())) if not _resolves(document, link, root)]


def _resolves(document: Path, link: str, root: Path) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    name, _, anchor = link.partition("#")
    target = (document.parent / name).resolve() if name else document
    if not target.is_relative_to(root) or not target.exists():
        return False
    return not anchor or anchor in _anchors(target.read_text())


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _config_table() -> str:
    command = [sys.executable, str(ROOT / "scripts" / "config_table.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
