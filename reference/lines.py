"""Count the lines that check or describe reports, profiles and configurations: `python -m reference.lines [CHECKOUT]`.

All of a module, and those of code (neither blank nor comment nor docstring): imports, definitions and functions.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

COLUMNS = ("lines", "code", "imports", "definitions", "functions")
NOTHING = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
GROUPS = {  # by what the bar counted in commit 72fcb81, of which the first two groups have 1,590 + 302 lines
    "counted then, and gone": "defender_detect/behavior_rules defender_detect/blocks defender_detect/criteria_rules "
    "defender_detect/custom_metrics defender_detect/entries defender_detect/fields defender_detect/profile_rules "
    "defender_detect/rules defender_detect/shortcut defender_publisher/validation infrastructure/profile_keys",
    "counted then, and what took its place": "device_defender/definition device_defender/kinds device_defender/profile "
    "device_defender/profile_rules device_defender/report device_defender/validation device_defender/wording "
    "defender_detect/config defender_detect/config_file defender_detect/judge/reading defender_detect/profiles "
    "defender_publisher/rules infrastructure/profiles",
    "not counted then, or later": "defender_publisher/config defender_daemon/config defender_daemon/collected "
    "defender_daemon/config_file defender_cloudwatch/config defender_cloudwatch/entries defender_detect/api/inputs "
    "defender_publisher/greengrass/parameters device_defender/cloudwatch device_defender/shards",
}


def count(source: str) -> Counter[str]:
    """Return how many lines a module has, by what they are."""
    tree = ast.parse(source)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    tokens = tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__)
    code = {line for each in tokens if each.type not in NOTHING for line in range(each.start[0], each.end[0] + 1)}
    code -= _lines_of(texts)
    functions = code & _lines_of([node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)])
    imports = code & _lines_of([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))])
    kinds = {"code": code, "imports": imports, "definitions": code - imports - functions, "functions": functions}
    return Counter(lines=len(source.splitlines()), **{kind: len(found) for kind, found in kinds.items()})


def _lines_of(nodes: Sequence[ast.stmt]) -> set[int]:
    return {line for each in nodes for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)}


def main(root: Path) -> None:
    """Print a table of each group's modules, as far as a checkout has them."""
    print(f"{'':<40}" + "".join(f"{column:>12}" for column in COLUMNS))
    for group, names in GROUPS.items():
        paths = [path for name in names.split() if (path := root / f"{name}.py").exists()]
        counted = {str(path.relative_to(root)): count(path.read_text("utf-8")) for path in paths}
        for name, found in {**counted, f"= {group}": sum(counted.values(), Counter[str]())}.items():
            print(f"{name:<40}" + "".join(f"{found[column]:>12,}" for column in COLUMNS))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
