"""The support bundle is complete, private, written whole or not at all, and never holds a secret."""

from __future__ import annotations

import json
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.redaction import key_lines
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.examination import RUNGS
from defender_publisher.support import bundle as bundle_module
from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker

FILES = {
    "version.txt", "platform.txt", "config.json", "doctor.txt", "doctor.json", "status.json", "state.json", "log.txt"
}  # fmt: skip
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # AWS's own example
WriteConfig = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("momentary")


def content_of(bundle: Path) -> dict[str, str]:
    with tarfile.open(bundle) as tar:
        return {
            entry.name.partition("/")[2]: tar.extractfile(entry).read().decode()
            for entry in tar.getmembers()
            if entry.isfile()
        }


def test_the_bundle_holds_what_helps_and_lists_it(
    write_config: WriteConfig, broker: ScriptedBroker, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text("".join(f"line {number}\n" for number in range(1000)))
    bundle = tmp_path / "b.tar.gz"
    lines = list(bundle_module.write(bundle, Case(write_config(broker.port, logfile=str(tmp_path / "a.log")), {})))
    content = content_of(bundle)
    assert FILES == set(content)
    assert FILES == {line.split()[-1] for line in lines if line.endswith((".txt", ".json"))}
    assert [f"line {number}" for number in range(500, 1000)] == content["log.txt"].splitlines()
    assert len(RUNGS) == len(content["doctor.txt"].splitlines()) == len(json.loads(content["doctor.json"])["rungs"])
    assert 5 == json.loads(content["config.json"])["agent"]["log_max_count"]  # with its defaults
    assert "rpi-0001" == json.loads(content["state.json"])["thing_name"]
    for word in ("python:", "openssl:", "libc:", "package: AWSIoTPythonSDK 1.", "limit: RLIMIT_NOFILE", "container:"):
        assert word in content["platform.txt"]


def test_only_its_owner_can_read_the_bundle_and_its_name_says_whether_it_is_compressed(
    write_config: WriteConfig, free_port: int, tmp_path: Path
) -> None:
    for name, magic in (("b.tar.gz", b"\x1f\x8b"), ("b.tgz", b"\x1f\x8b"), ("b.tar", b"am")):
        list(bundle_module.write(tmp_path / name, Case(write_config(free_port), {})))
        assert 0o600 == stat.S_IMODE((tmp_path / name).stat().st_mode)
        assert magic == (tmp_path / name).read_bytes()[:2]


def test_no_byte_of_a_bundle_is_of_a_key_or_a_password(
    write_config: WriteConfig, broker: ScriptedBroker, authority: Authority, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment-secret-1")
    path = write_config(
        broker.port,
        logfile=str(tmp_path / "a.log"),
        custom_metrics={
            "a": {"type": "number", "command": ["/bin/false", "--password", "argumentsecret", "tok3n-Value"]}
        },
        proxy={"host": "127.0.0.1", "port": 1, "username": "proxyuser", "password": "pr0xy"},
    )
    pem = authority.issue("rpi-0001").private_key.read_text()
    others = authority.issue("stranger").private_key.read_text()
    words = [AWS_SECRET, "environment-secret-1", "argumentsecret", "tok3n-Value", "proxyuser", "pr0xy"]
    secrets = words + [line for key in (pem, others) for line in key_lines(key)]
    for line in others.splitlines()[1:]:  # a log that begins in a key
        with open(tmp_path / "a.log", "a") as log:
            log.write(line + "\n")
    with open(tmp_path / "a.log", "a") as log:
        log.write("\n".join([*words, pem, "the last line", pem[:-40]]))
    state = tmp_path / "state"
    state.mkdir()
    hidden = json.dumps({"last_error": {"text": " ".join(secrets), "key": others + pem}, "pid": 12})
    (state / "status.json").write_text(hidden)
    (state / "state.json").write_text(hidden)
    config = json.loads(path.read_text())
    config["$schema"] = others
    path.write_text(json.dumps(config))
    for name in ("b.tar", "b.tar.gz"):
        printed = "\n".join(bundle_module.write(tmp_path / name, Case(path, {})))
        content = content_of(tmp_path / name)
        everything = printed + (tmp_path / name).read_bytes().decode("latin-1") + "".join(content.values())
        assert [] == [secret for secret in secrets if secret in everything]
        assert 12 == json.loads(content["status.json"])["pid"]
        assert "the last line" in content["log.txt"]
        assert ["/bin/false", "(3 arguments left out)"] == json.loads(content["config.json"])["custom_metrics"]["a"][
            "command"
        ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'not': json}", "not JSON"),
        ('{"agent": {"proxy": {"password": "s3cr3t"}, "passwort": "s3cr3t", "debug": "s"}}', "(removed)"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_no_reason_for_no_bundle(
    tmp_path: Path, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    path, bundle = tmp_path / "c.json", tmp_path / "b.tar"
    path.write_text(text)
    list(bundle_module.write(bundle, Case(path, {})))
    content = content_of(bundle)
    assert expected in content["config.json"]
    assert "s3cr3t" not in content["config.json"]
    assert content["doctor.txt"].startswith("FAIL  config")
    assert {"not available"} == set(json.loads(content["status.json"]))


def test_an_old_bundle_is_replaced_whole_or_not_at_all(
    write_config: WriteConfig, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, config = tmp_path / "bundles", write_config(free_port)
    directory.mkdir()
    bundle = directory / "b.tar"
    bundle.write_text("old")

    def interrupt(case: Case) -> dict[str, bytes]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bundle_module, "collect", interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(bundle_module.write(bundle, Case(config, {})))
    assert ("old", [bundle]) == (bundle.read_text(), list(directory.iterdir()))
    list(bundle_module.write(bundle, Case(config, {})))
    assert FILES == set(content_of(bundle))
    assert [bundle] == list(directory.iterdir())


def test_the_script_says_in_a_sentence_where_it_cannot_write(
    ask: Callable[..., subprocess.CompletedProcess[str]], write_config: WriteConfig, free_port: int, tmp_path: Path
) -> None:
    config = write_config(free_port)
    done = ask("--support-bundle", tmp_path, config)
    assert (1, f"{tmp_path} is a directory; name a file in it, {tmp_path}/support.tar.gz for instance\n") == (
        done.returncode,
        done.stderr,
    )
    done = ask("--support-bundle", tmp_path / "none" / "b.tar", config)
    assert (1, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "cannot be written: No such file or directory" in done.stderr
    done = ask("--support-bundle", "b.tar", config)
    assert (0, "") == (done.returncode, done.stderr)
    assert "doctor.txt" in done.stdout
