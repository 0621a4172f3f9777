"""A scene for the cluster: records and rules in files, the job's properties, and where its alarms arrive."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from defender_detect.flink.records import BAD_NAME
from demo.flink.cluster import Cluster
from demo.flink.single import in_order, read_lines


class Scene:
    """A directory with everything that a job reads and writes."""

    def __init__(self, directory: Path, document: str, **job: str) -> None:
        """Write the rules that the job starts with; `job` are properties of the group detect."""
        self.directory, self._job = directory, job
        self.records, self.updates = directory / "records", directory / "updates"
        for path in (self.records, self.updates):
            path.mkdir(parents=True)
        self.write_rules(document)

    def write_rules(self, document: str) -> None:
        """Write the rules that the job starts with from now on."""
        (self.directory / "rules.json").write_text(document)

    def add(self, place: Path, name: str, lines: Iterable[str]) -> None:
        """Put a file where the job looks for files; it is whole as soon as it is there."""
        hidden = self.directory / name
        with hidden.open("w") as file:
            file.writelines(f"{line}\n" for line in lines)
        hidden.rename(place / name)

    def properties(self, is_watched: bool = False, **more: str) -> Path:
        """Write the job's properties, and return their path."""
        groups = {
            "detect": {"rules": str(self.directory / "rules.json"), **self._job, **more},
            "source.files": {"path": self.records.as_uri(), "watch_seconds": "0.2" if is_watched else "0"},
            "alarms.files": {"path": (self.directory / "alarms").as_uri()},
            "refused.files": {"path": (self.directory / "refused").as_uri()},
        }
        if is_watched:
            groups["detect"]["updates"] = self.updates.as_uri()
        path = self.directory / "application_properties.json"
        path.write_text(json.dumps([{"PropertyGroupId": name, "PropertyMap": each} for name, each in groups.items()]))
        return path

    def let_pass(self, cluster: Cluster, time: float = 0.0) -> None:
        """Let time pass, for whoever goes by the records' times, once all records so far have been evaluated for good.

        A record of nobody does that; it is refused, and what was refused is written down with the next checkpoint.
        Files that are found together are read in any order: so one without a time has to be done before.
        """
        for each in (0.0, time):
            number = self._passed()
            self.add(self.records, f"z{number}.jsonl", [json.dumps({"thing": "", "t": each, "payload": ""})])
            cluster.wait_for(partial(self._has_passed, number), "the last record")

    def _has_passed(self, number: int) -> bool:
        return self._passed() > number

    def _passed(self) -> int:
        return sum(each["code"] == BAD_NAME and not each["thing"] for each in self.refused())

    def alarms(self) -> list[str]:
        """Return the alarms that are there for good, in an order of their own."""
        return in_order(read_lines(self.directory / "alarms"))

    def refused(self) -> list[dict[str, str]]:
        """Return what was refused."""
        return [json.loads(line) for line in read_lines(self.directory / "refused")]
