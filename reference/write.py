"""Write the schemas in configs/ and the generated parts of docs/reference from the definitions (`make docs`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defender_detect.config import Config as DetectConfig
from reference import tables

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "publisher-configuration.md",
    "built-in-metrics.md",
    "command-lines.md",
    "detect-configuration.md",
)  # of docs/reference, with generated parts


def main() -> None:
    """Write every generated file."""
    for path, text in generated(ROOT):
        path.write_text(text, encoding="utf-8")


def generated(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every generated file, and the text that it must have."""
    yield root / "configs" / "schema.json", tables.json_schema()
    yield root / "configs" / "detect-schema.json", tables.json_schema(DetectConfig)
    for page in PAGES:
        path = root / "docs" / "reference" / page
        yield path, tables.with_tables(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
