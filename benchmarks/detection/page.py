"""Sections of a page that programs write, each between two marks that name it; everything else on the page is left alone."""

from pathlib import Path


def write(page: Path, name: str, text: str) -> None:
    """Put `text` between the marks of the section `name`, at the end of `page` when it has none yet."""
    before = page.read_text() if page.exists() else ""
    page.write_text(with_section(before, name, text))


def with_section(page: str, name: str, text: str) -> str:
    """`page` with the section replaced."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = page.partition(first)
    tail = rest.partition(last)[2] if found else "\n"
    lead = head if found else f"{head.rstrip()}\n\n" if head.strip() else ""
    return f"{lead}{first}\n{text.strip()}\n{last}{tail}"


def kept_sections(page: str) -> dict[str, str]:
    """Every section of a page, by name."""
    names = [line[5:-4] for line in page.splitlines() if line.startswith("<!-- ") and line.endswith(" -->")]
    found = [name for name in names if f"<!-- /{name} -->" in page]
    return {name: page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0].strip() for name in found}
