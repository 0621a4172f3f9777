"""Write configs/schema.json and the README's tables from the configuration's definition (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from defender_publisher import reference

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write every generated part anew."""
    readme = ROOT / "README.md"
    readme.write_text(reference.with_tables(readme.read_text()))
    (ROOT / "configs" / "schema.json").write_text(reference.json_schema())


if __name__ == "__main__":
    main()
