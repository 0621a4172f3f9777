"""Count the lines that check or describe reports, profiles and configurations: `python -m reference.lines [CHECKOUT]`.

Of each module: all lines, and those of code (no blank one, no comment, no docstring), which are divided into imports,
definitions (fields, types and constants, with the documentation of configuration keys) and functions, which check.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections import Counter
from pathlib import Path

COLUMNS = ("lines", "code", "imports", "definitions", "functions")
SKIPPED = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
GROUPS: dict[str, tuple[str, ...]] = {
    "counted when there was no ground floor (commit 72fcb81: 1,590 lines, and 302 of two profiles.py)": (
        *(f"defender_detect/{name}_rules.py" for name in ("behavior", "criteria", "profile")),
        *(f"defender_detect/{name}.py" for name in ("blocks", "custom_metrics", "entries", "fields", "rules")),
        *("defender_detect/shortcut.py", "defender_publisher/validation.py", "infrastructure/profile_keys.py"),
    ),
    "the same, like for like": (
        *(f"device_defender/{name}.py" for name in ("validation", "kinds", "wording", "report")),
        *("device_defender/profile.py", "device_defender/profile_rules.py", "defender_detect/judge/reading.py"),
        *("defender_detect/config.py", "defender_detect/config_file.py", "defender_publisher/rules.py"),
        *("defender_detect/profiles.py", "infrastructure/profiles.py"),
    ),
    "definitions that were there and not counted, and what came later": (
        *("defender_publisher/config.py", "defender_daemon/config.py", "defender_daemon/agent.py"),
        *("defender_daemon/config_file.py", "defender_publisher/greengrass/parameters.py", "device_defender/shards.py"),
        *("defender_cloudwatch/config.py", "defender_cloudwatch/rules.py", "device_defender/cloudwatch.py"),
        "defender_detect/api/inputs.py",
    ),
}


def count(source: str) -> Counter[str]:
    """Return how many lines a module has, by what they are."""
    tree = ast.parse(source)
    texts = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    documented = {line for text in texts for line in range(text.lineno, (text.end_lineno or 0) + 1)}
    functions = _lines_of(tree, ast.FunctionDef)
    imports = _lines_of(tree, ast.Import, ast.ImportFrom) - functions
    tokens = tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__)
    spans = [range(each.start[0], each.end[0] + 1) for each in tokens if each.type not in SKIPPED]
    code = {line for span in spans for line in span} - documented
    kinds = {"imports": imports, "functions": functions, "definitions": code - imports - functions, "code": code}
    return Counter({"lines": len(source.splitlines()), **{kind: len(code & of) for kind, of in kinds.items()}})


def _lines_of(tree: ast.AST, *types: type[ast.stmt]) -> set[int]:
    found = [node for node in ast.walk(tree) if isinstance(node, types)]
    decorated = [
        (min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]), node) for node in found
    ]
    return {line for first, node in decorated for line in range(first, (node.end_lineno or 0) + 1)}


def main(root: Path) -> None:
    """Print a table of each group's modules that there are."""
    print(f"{'':<45}" + "".join(f"{column:>12}" for column in COLUMNS))
    for group, names in GROUPS.items():
        counted = {name: count((root / name).read_text("utf-8")) for name in names if (root / name).exists()}
        for name, found in {**counted, f"= {group}": sum(counted.values(), Counter())}.items():
            print(f"{name:<45}" + "".join(f"{found[column]:>12}" for column in COLUMNS))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
