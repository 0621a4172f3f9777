"""The manifest for the Flink Kubernetes operator has what the operator's resource takes, and what the job reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from defender_detect.flink.properties import parse_properties
from defender_detect.flink.rules import parse_rules

yaml = pytest.importorskip("yaml")

HERE = Path(__file__).resolve().parent.parent / "configs" / "flink"
TEXT: Mapping[str, Any] = {}  # an object of text
POD = {  # as far as the manifest has it
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str},
    "spec": {
        "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "fsGroup": int},
        "containers": [
            {
                "name": str,
                "securityContext": {"allowPrivilegeEscalation": bool, "capabilities": {"drop": [str]}},
                "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
            }
        ],
        "volumes": [{"name": str, "configMap": {"name": str}}],
    },
}
PART = {"resource": {"cpu": (int, float), "memory": str, "ephemeralStorage": str}, "replicas": int, "podTemplate": POD}
SPEC = {  # of FlinkDeployment flink.apache.org/v1beta1, as its CustomResourceDefinition of July 2026 has it
    "image": str,
    "imagePullPolicy": str,
    "flinkVersion": {f"v1_{number}" for number in range(13, 21)} | {f"v2_{number}" for number in range(5)},
    "mode": {"native", "standalone"},
    "serviceAccount": str,
    "flinkConfiguration": TEXT,
    "podTemplate": POD,
    "restartNonce": int,
    "logConfiguration": TEXT,
    "jobManager": PART,
    "taskManager": PART,
    "job": {
        "jarURI": str,
        "entryClass": str,
        "args": [str],
        "parallelism": int,
        "state": {"running", "suspended"},
        "upgradeMode": {"last-state", "savepoint", "stateless"},
        "allowNonRestoredState": bool,
        "initialSavepointPath": str,
    },
}
REQUIRED_OF_A_JOB = {"jarURI", "parallelism", "upgradeMode", "state"}


def departures(found: Any, shape: Any, path: str = "spec") -> Iterator[str]:
    """Yield where a document departs from the fields and types that a resource has."""
    if shape is TEXT:
        yield from (f"{path}.{key}" for key, value in found.items() if not isinstance(value, str))
    elif isinstance(shape, dict):
        for key, value in found.items():
            yield from departures(value, shape[key], f"{path}.{key}") if key in shape else [f"{path}.{key} is unknown"]
    elif isinstance(shape, list):
        for number, value in enumerate(found):
            yield from departures(value, shape[0], f"{path}[{number}]")
    elif isinstance(shape, set):
        yield from [] if found in shape else [path]
    elif not isinstance(found, shape) or (isinstance(found, bool) and shape is not bool):
        yield path


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((HERE / "kubernetes.yaml").read_text()))


def test_it_has_only_fields_that_the_operator_knows_with_values_of_their_types(documents: list[dict[str, Any]]) -> None:
    settings, deployment = documents
    assert ("v1", "ConfigMap") == (settings["apiVersion"], settings["kind"])
    assert ("flink.apache.org/v1beta1", "FlinkDeployment") == (deployment["apiVersion"], deployment["kind"])
    assert [] == list(departures(deployment["spec"], SPEC))
    assert deployment["spec"]["job"].keys() >= REQUIRED_OF_A_JOB


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"job": {"parallelism": "2"}}, "spec.job.parallelism"),
        ({"job": {"jarUri": "x"}}, "spec.job.jarUri is unknown"),
        ({"flinkVersion": "v2"}, "spec.flinkVersion"),
        ({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": 1}}, "spec.flinkConfiguration.taskmanager.numberOf"),
    ],
)
def test_a_field_that_is_none_would_be_found(spec: dict[str, Any], where: str) -> None:
    (found,) = departures(spec, SPEC)
    assert found.startswith(where)


def test_what_the_job_needs_is_there(documents: list[dict[str, Any]]) -> None:
    """The traps: one slot for each process, flink-python's jar in lib/, and `python` on the PATH."""
    settings, deployment = documents
    spec, image = deployment["spec"], (HERE / "Dockerfile").read_text()
    assert "1" == spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]
    assert "cp /opt/flink/opt/flink-python-*.jar /opt/flink/lib/" in image
    (version,) = set(re.findall(r"\d\.\d\.\d", image + spec["job"]["jarURI"]))
    assert "v" + "_".join(version.split(".")[:2]) == spec["flinkVersion"]
    for path in (value for value in spec["job"]["args"] if value.startswith("/opt/")):
        assert path.removesuffix("/bin/python") in image
    mounted = spec["podTemplate"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
    properties = spec["job"]["args"][-1]
    assert (mounted, True) == (properties.rpartition("/")[0], properties.rpartition("/")[2] in settings["data"])


def test_the_job_takes_the_properties_and_the_rules(documents: list[dict[str, Any]]) -> None:
    filled = documents[0]["data"]["application_properties.json"]
    for word, value in {"REGION": "eu-west-1", "ACCOUNT": "123456789012", "BUCKET": "bucket"}.items():
        filled = filled.replace(word, value)
    properties = parse_properties(json.loads(filled))
    assert ("thread", "/etc/flink/rules.json") == (properties.job.execution_mode, properties.job.rules)
    parse_rules(documents[0]["data"]["rules.json"])
