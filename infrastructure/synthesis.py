"""CloudFormation templates, made from descriptions by aws_cdk in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from infrastructure.description import StackDescription
from infrastructure.node import use_bundled_node

# CDK's validator of templates, which takes 1.8 s and only warns by default.
_STRICT = {"@aws-cdk/core:validateAgainstDefaultRules": True, "@aws-cdk/core:strictCfnValidateErrors": True}


def synthesize(descriptions: Sequence[StackDescription], strict: bool = False) -> dict[str, str]:
    """Return each stack's template as JSON without white space, by the stack's name.

    `strict` lets CDK's validator look at them, and makes an error (RuntimeError) of whatever it finds.
    aws_cdk is imported here, since that starts Node and takes seconds.
    """
    use_bundled_node()
    from aws_cdk import App

    from infrastructure.constructs.stacks import make_stack

    with TemporaryDirectory(prefix="amazon-defender-publisher-") as directory:
        context = _STRICT if strict else None
        app = App(
            outdir=directory, analytics_reporting=False, builtin_cloud_formation_validation=strict, context=context
        )
        stacks = [make_stack(app, description) for description in descriptions]
        app.synth()
        return {stack.stack_name: _read_template(Path(directory, stack.template_file)) for stack in stacks}


def _read_template(path: Path) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"), ensure_ascii=False)
