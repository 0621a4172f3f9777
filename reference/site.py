"""Stage README, docs and what they link to in one directory, from which `make site` builds a site."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = {
    "Tutorials": "docs/tutorials/*",
    "How to": "docs/how-to/*",
    "Reference": "docs/reference/*",
    "Explanation": "docs/explanation/*",
    "Project": "*",
}
LINK = re.compile(r"\]\(([^)\s:#]+)(?:#[^)]*)?\)")  # to a file; an address has a colon


def main() -> None:
    """Stage into the directory that the command line names."""
    stage(ROOT, Path(sys.argv[1]))


def stage(root: Path, to: Path) -> None:
    """Copy README.md, and everything that can be reached from it by links, to the same places below `to`."""
    shutil.rmtree(to, ignore_errors=True)
    waiting, seen = [root / "README.md"], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_relative_to(root):
            continue
        seen.add(path)
        if path.is_file():
            target = to / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            waiting += links_of(path) if path.suffix == ".md" else []
        elif path.is_dir():
            waiting += path.iterdir()
    with (to / "README.md").open("a", encoding="utf-8") as page:
        page.writelines(map(navigation, SECTIONS, SECTIONS.values()))


def navigation(caption: str, pattern: str) -> str:
    """Return the part of the site's navigation that lists the pages of a pattern, in MyST's words."""
    return f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{pattern}\n```\n"


def links_of(page: Path) -> Iterator[Path]:
    """Yield the files and directories that a page links to."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        yield (page.parent / link).resolve()


if __name__ == "__main__":
    main()
