from __future__ import annotations

import ast
from pathlib import Path

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure.deployed import Deployed  # noqa: E402
from tests.fakes.fake_account import make_fleet, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_fleet_is_read_as_it_is_now_and_the_one_before_stays_as_it_was() -> None:
    aws = FakeCloudFormation()
    fleet = make_fleet(cloudformation=aws)
    aws.add("lab-things-1", template=things_template({"a": "csr"}))
    assert ["a"] == list(fleet.read().deployed.things)
    assert Deployed() == fleet.deployed


def test_no_function_takes_two_parts_of_a_fleet_apart() -> None:
    parts = {"Account", "Names", "Deployed", "Screen"}
    taking = set()
    for path in (ROOT / "deploy.py", *(ROOT / "infrastructure").rglob("*.py")):
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            kinds = [argument.annotation for argument in function.args.args]
            if len(parts & {kind.id for kind in kinds if isinstance(kind, ast.Name)}) > 1:
                taking.add(function.name)
    assert {"read_deployed", "_list_stacks"} == taking  # by which a fleet is read
