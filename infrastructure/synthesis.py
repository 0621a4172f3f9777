"""CloudFormation templates, made from descriptions by aws_cdk in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from infrastructure.description import StackDescription
from infrastructure.node import use_bundled_node


def synthesize(descriptions: Sequence[StackDescription]) -> dict[str, str]:
    """Return each stack's template as JSON without white space, by the stack's name.

    aws_cdk is imported here, since that starts Node and takes seconds.
    """
    use_bundled_node()
    from aws_cdk import App

    from infrastructure.constructs.stacks import make_stack

    with TemporaryDirectory(prefix="amazon-defender-publisher-") as directory:
        app = App(outdir=directory, analytics_reporting=False)
        stacks = [make_stack(app, description) for description in descriptions]
        app.synth()
        return {stack.stack_name: _read_template(Path(directory, stack.template_file)) for stack in stacks}


def _read_template(path: Path) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"), ensure_ascii=False)
