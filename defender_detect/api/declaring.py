"""The answers about custom metrics and dimensions, which AWS wants declared; here they are only kept."""

from __future__ import annotations

from typing import Any

import msgspec

from defender_detect.api import inputs
from defender_detect.api.answers import Answer, Source, names_all, with_token
from defender_detect.api.faults import Fault, invalid, not_found
from defender_detect.api.paging import page_of
from defender_detect.evaluate.targets import ARN
from defender_detect.store.documents import Documents, Written
from device_defender.metrics import is_custom_metric_name

MOST_METRICS, MOST_DIMENSIONS = 100, 10  # of an account; AWS's


def create_custom_metric(source: Source, given: inputs.CreateCustomMetric) -> Answer:
    """Answer CreateCustomMetric."""
    name = given.metric_name
    if not is_custom_metric_name(name):
        raise invalid(f"metricName must not begin as AWS's own do, got {name}")
    document = {"metricType": given.metric_type, "displayName": given.display_name}
    create(source, source.kept.metrics, name, document, MOST_METRICS)
    return {"metricName": name, "metricArn": f"{ARN}custommetric/{name}"}


def update_custom_metric(source: Source, given: inputs.UpdateCustomMetric) -> Answer:
    """Answer UpdateCustomMetric."""
    return describe_metric(update(source, source.kept.metrics, given.metric_name, {"displayName": given.display_name}))


def delete_custom_metric(source: Source, given: inputs.DeleteCustomMetric) -> Answer:
    """Answer DeleteCustomMetric."""
    refuse_what_is_used(source, given.metric_name, None)
    source.kept.metrics.delete(given.metric_name)
    return {}


def describe_custom_metric(source: Source, given: inputs.DescribeCustomMetric) -> Answer:
    """Answer DescribeCustomMetric."""
    return describe_metric(find(source.kept.metrics, given.metric_name))


def list_custom_metrics(source: Source, given: inputs.ListCustomMetrics) -> Answer:
    """Answer ListCustomMetrics."""
    return list_names(source.kept.metrics, given, "metricNames")


def create_dimension(source: Source, given: inputs.CreateDimension) -> Answer:
    """Answer CreateDimension."""
    document = {"type": given.type, "stringValues": given.string_values}
    create(source, source.kept.dimensions, given.name, document, MOST_DIMENSIONS)
    return {"name": given.name, "arn": f"{ARN}dimension/{given.name}"}


def update_dimension(source: Source, given: inputs.UpdateDimension) -> Answer:
    """Answer UpdateDimension."""
    return describe_one(update(source, source.kept.dimensions, given.name, {"stringValues": given.string_values}))


def delete_dimension(source: Source, given: inputs.DeleteDimension) -> Answer:
    """Answer DeleteDimension."""
    refuse_what_is_used(source, None, given.name)
    source.kept.dimensions.delete(given.name)
    return {}


def describe_dimension(source: Source, given: inputs.DescribeDimension) -> Answer:
    """Answer DescribeDimension."""
    return describe_one(find(source.kept.dimensions, given.name))


def list_dimensions(source: Source, given: inputs.ListDimensions) -> Answer:
    """Answer ListDimensions."""
    return list_names(source.kept.dimensions, given, "dimensionNames")


def get_training_summaries(source: Source, given: inputs.GetBehaviorModelTrainingSummaries) -> Answer:
    """Answer GetBehaviorModelTrainingSummaries: no model is trained here."""
    if given.security_profile_name is not None:
        source.find(given.security_profile_name)
    return {"summaries": []}


def create(source: Source, documents: Documents, name: str, document: dict[str, Any], most: int) -> None:
    """Keep a document; the same once more is no other one, because a program may try again."""
    with documents.alone():
        there = documents.read()
        for each in there:
            if each.name == name:
                if each.document == document:
                    return
                raise Fault(409, "ResourceAlreadyExistsException", f"there is another {name} already")
        if len(there) >= most:
            raise Fault(410, "LimitExceededException", f"there are {most} of them already")
        now = source.clock()
        documents.put(Written(name=name, document=document, created=now, modified=now))


def update(source: Source, documents: Documents, name: str, changes: dict[str, Any]) -> Written:
    """Change a document and return it as it is then."""
    with documents.alone():
        written = find(documents, name)
        document = {**written.document, **changes}
        changed = msgspec.structs.replace(written, document=document, modified=source.clock())
        documents.put(changed)
        return changed


def find(documents: Documents, name: str) -> Written:
    """Return a document by its name; raise a Fault if there is none."""
    for each in documents.read():
        if each.name == name:
            return each
    raise not_found(f"there is no {name}")


def refuse_what_is_used(source: Source, metric: str | None, dimension: str | None) -> None:
    """Raise a Fault if a security profile names a metric or a dimension."""
    source.refresh()
    for each in source.attachments():
        if names_all(each, metric, dimension):
            raise invalid(f"the security profile {each.profile.name} needs {metric or dimension}")


def list_names(documents: Documents, given: inputs.Paged, key: str) -> Answer:
    """Return a page of names."""
    items = [(each.name,) for each in documents.read()]
    page, token = page_of(sorted(items), given.next_token, given.max_results)
    return with_token({key: [name for (name,) in page]}, token)


def describe_metric(written: Written) -> Answer:
    """Return what DescribeCustomMetric has."""
    plain = {key: value for key, value in written.document.items() if value is not None}
    return {"metricName": written.name, "metricArn": f"{ARN}custommetric/{written.name}", **plain, **dates(written)}


def describe_one(written: Written) -> Answer:
    """Return what DescribeDimension has."""
    return {"name": written.name, "arn": f"{ARN}dimension/{written.name}", **written.document, **dates(written)}


def dates(written: Written) -> Answer:
    """Return when something was written."""
    return {"creationDate": written.created, "lastModifiedDate": written.modified}
