"""What the installers leave to Python: hostile bundles, kept and new configurations, copies, the wait for a verdict."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import os
import pwd
import ssl
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509

from demo.authority import Authority

ROOT = Path(__file__).resolve().parent.parent.parent
DEVICE = ROOT / "installers" / "device"
MODULES = [path for path in sorted(DEVICE.glob("*.py")) if path.stem != "__main__"]
TEMPLATE = ROOT / "configs" / "amazon-defender-publisher-rpi.json"
CONFIG, CERTIFICATE, KEY, ROOTS = "amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem"
AGENT = {"thing_name": "rpi-0001", "authentication": {"endpoint": "e", "certificate": CERTIFICATE, "private_key": KEY}}
CONTENTS = {CONFIG: json.dumps({"agent": AGENT}).encode(), CERTIFICATE: b"certificate", KEY: b"secret", ROOTS: b"roots"}

Stage = Callable[..., "subprocess.CompletedProcess[str]"]


@functools.cache
def load() -> dict[str, ModuleType]:
    """Return its modules by their names, which run nothing when they are imported."""
    spec = importlib.util.spec_from_file_location("installers_device", DEVICE / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    main = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DEVICE)
        patch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(main)
    return {"__main__": main, **{path.stem: sys.modules[path.stem] for path in MODULES}}


@pytest.fixture
def files_module() -> ModuleType:
    """The module that writes files."""
    return load()["files"]


@pytest.fixture
def verdict_module() -> ModuleType:
    """The module that waits for a verdict."""
    return load()["verdict"]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Gather what the options say for tmp_path/etc in tmp_path/stage, and put it in place if all is well."""

    def stage(*options: object, place: bool = True) -> subprocess.CompletedProcess[str]:
        (tmp_path / "etc").mkdir(exist_ok=True)
        directories = ["--into", tmp_path / "stage", "--etc", tmp_path / "etc", "--template", TEMPLATE]
        done = run("stage-files", *directories, "--state-directory", "/var/lib/x", *options)
        if done.returncode == 0 and place:
            placed = run("place-files", tmp_path / "stage", tmp_path / "etc")
            assert (0, "") == (placed.returncode, placed.stderr)
        return done

    return stage


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of it, in this process because there are many."""
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
        status = load()["__main__"].main(list(map(str, arguments)))
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def member(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def bundle(path: Path, *also: tuple[tarfile.TarInfo, bytes], leave_out: str = "", mode: str = "w") -> Path:
    """Write a bundle of the four files but one, and of what else is given."""
    members = [member(name, content) for name, content in CONTENTS.items() if name != leave_out]
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in [*members, *also]:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def read(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_it_runs_by_itself_without_anything_of_its_surroundings(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from where it was run')")
    command = [sys.executable, "-I", "-B", str(DEVICE), "name-program", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_none_of_its_modules_stands_before_one_of_the_standard_library(path: Path) -> None:
    if not hasattr(sys, "stdlib_module_names"):
        pytest.skip("Python 3.9 does not know the names of its modules")
    assert path.stem not in sys.stdlib_module_names


def test_a_file_is_there_after_a_power_cut_with_its_name(
    tmp_path: Path, files_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in it goes to the disk before it has its name, and the name before the next thing is done."""
    synced: list[tuple[bool, bool]] = []
    file, sync = tmp_path / "private.key", os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append((stat.S_ISDIR(os.fstat(fd).st_mode), file.exists())) or sync(fd)
    )
    files_module.write(file, b"secret", 0o600)
    assert [(False, False), (True, True)] == synced


# Bundles


def test_a_bundle_becomes_files_that_only_root_can_read_the_key_of(tmp_path: Path, stage: Stage) -> None:
    done = stage("--bundle", bundle(tmp_path / "b.tar"))
    assert (0, "") == (done.returncode, done.stderr)
    found = read(tmp_path / "etc")
    assert set(CONTENTS) == set(found)
    assert {name: CONTENTS[name] for name in (CERTIFICATE, KEY, ROOTS)} == {
        n: found[n] for n in (CERTIFICATE, KEY, ROOTS)
    }
    agent = json.loads(found[CONFIG])["agent"]
    assert {**AGENT["authentication"], "root_ca": ROOTS} == agent["authentication"]  # type: ignore[dict-item]
    assert "/var/lib/x" == agent["state_directory"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "etc").iterdir()}
    assert {CONFIG: 0o644, CERTIFICATE: 0o644, KEY: 0o600, ROOTS: 0o644} == modes
    assert not (tmp_path / "stage").exists()


@pytest.mark.parametrize(
    ("also", "says"),
    [
        (member("../evil"), "it holds '../evil'"),
        (member("/etc/passwd"), "it holds '/etc/passwd'"),
        (member("sub/private.key"), "it holds 'sub/private.key'"),
        (member("./../private.key"), "it holds '../private.key'"),
        (member("private.key\n"), r"it holds 'private.key\n'"),
        (member("other.txt"), "it holds 'other.txt'"),
        (member(KEY), "it holds private.key twice"),
        (member(f"./{KEY}"), "it holds private.key twice"),
    ],
)
def test_a_bundle_with_anything_else_in_it_is_refused(
    tmp_path: Path, stage: Stage, also: tuple[tarfile.TarInfo, bytes], says: str
) -> None:
    done = stage("--bundle", bundle(tmp_path / "b.tar", also))
    assert 1 == done.returncode
    assert says in done.stderr
    assert 1 == done.stderr.count("\n")
    assert [] == list((tmp_path / "etc").iterdir())
    assert not (tmp_path / "stage").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_bundle_whose_key_is_no_plain_file_is_refused(tmp_path: Path, stage: Stage, kind: bytes) -> None:
    no_file = member(KEY, b"", type=kind, linkname="/etc/shadow")
    done = stage("--bundle", bundle(tmp_path / "b.tar", no_file, leave_out=KEY))
    assert (1, True) == (done.returncode, "private.key in it is not a plain file" in done.stderr)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_bundle_without_one_of_its_files_is_refused(tmp_path: Path, stage: Stage, name: str) -> None:
    done = stage("--bundle", bundle(tmp_path / "b.tar", leave_out=name))
    assert (1, True) == (done.returncode, f"{name} is missing in it" in done.stderr)


def test_a_bundle_with_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path, stage: Stage) -> None:
    large = tarfile.TarInfo(CERTIFICATE)
    large.size = 10**12  # which a tar says in its header; there is nothing of it
    (tmp_path / "b.tar").write_bytes(large.tobuf())
    done = stage("--bundle", tmp_path / "b.tar")
    assert (1, True) == (done.returncode, "has 1000000000000 bytes, more than 1000000" in done.stderr)


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\x1f\x8b\x08\0" + b"\0" * 600])
def test_what_is_no_tar_is_no_bundle(tmp_path: Path, stage: Stage, content: bytes) -> None:
    (tmp_path / "b.tar").write_bytes(content)
    done = stage("--bundle", tmp_path / "b.tar")
    assert (1, True) == (done.returncode, "b.tar is no bundle: " in done.stderr)
    assert "Traceback" not in done.stderr


def headers_of(kind: bytes, size: int, times: int = 1) -> bytes:
    """Headers that speak of the header after them, as any tar may have one."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, size
    content = b"12 comment=x\n".ljust(512, b"\0") if size == 13 else b""
    return (info.tobuf(tarfile.GNU_FORMAT) + content) * times


@pytest.mark.parametrize(
    ("headers", "length", "says"),
    [
        (headers_of(b"x", 600 * 2**20), 600 * 2**20, "has more than 4065536 bytes"),  # a sparse file: it has no blocks
        (headers_of(b"x", 600 * 2**20), 4_000_000, "is no bundle: "),
        (headers_of(b"L", 600 * 2**20), 4_000_000, "is no bundle: "),
        (headers_of(b"g", 13, 3000), 0, "is no bundle: "),  # "it has headers upon headers", or of Debian 12's Python:
        (headers_of(b"x", 13, 3000), 0, "is no bundle: "),  # "invalid header"
    ],
)
def test_a_bundle_whose_headers_are_too_large_or_too_deep_is_refused_in_a_sentence(
    tmp_path: Path, stage: Stage, headers: bytes, length: int, says: str
) -> None:
    with (tmp_path / "b.tar").open("wb") as file:
        file.write(headers)
        file.truncate(max(length, len(headers)))
    done = stage("--bundle", tmp_path / "b.tar")
    assert (1, True, 1) == (done.returncode, says in done.stderr, done.stderr.count("\n")), done.stderr


def test_what_is_no_file_is_neither_waited_for_nor_read(tmp_path: Path, stage: Stage, files: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for options in (["--bundle"], ["--config"], ["--endpoint", "e", "--thing-name", "t", *files[:3]]):
        done = stage(*options, tmp_path / "pipe")
        assert (1, f"{tmp_path}/pipe must be a file\n") == (done.returncode, done.stderr)


def test_of_what_a_service_has_written_only_the_end_is_read(tmp_path: Path, files_module: ModuleType) -> None:
    with (tmp_path / "stderr.log").open("wb") as file:
        file.truncate(600 * 2**20)
        file.seek(0, os.SEEK_END)
        file.write(b"the end")
    end = files_module.read_end(tmp_path / "stderr.log")
    assert (True, files_module.END) == (end.endswith(b"\0the end"), len(end))


def test_a_link_is_not_followed_in_a_directory_that_another_user_can_write(
    tmp_path: Path, files_module: ModuleType
) -> None:
    (tmp_path / "secret").write_text("root's")
    (tmp_path / "link").symlink_to("secret")
    assert b"root's" == files_module.read_file(tmp_path / "link")
    with pytest.raises(load()["problem"].Problem, match="link must be a file"):
        files_module.read_file(tmp_path / "link", follow=False)


def test_a_bundle_that_is_compressed_is_refused(tmp_path: Path, stage: Stage) -> None:
    done = stage("--bundle", bundle(tmp_path / "b.tar.gz", mode="w:gz"))
    assert (1, True) == (done.returncode, "is no bundle" in done.stderr)


@pytest.mark.parametrize(
    "config",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"agent": 1}',
        b'{"agent": {"authentication": []}}',
        b'{"agent": {"thing_name": "\\ud83d"}}',
    ],
)
def test_a_bundle_whose_configuration_is_none_is_refused_in_a_sentence(
    tmp_path: Path, stage: Stage, config: bytes
) -> None:
    done = stage("--bundle", bundle(tmp_path / "b.tar", member(CONFIG, config), leave_out=CONFIG))
    assert (1, 1, False) == (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr)


# Identity


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The options for a certificate and its key."""
    (tmp_path / "c").write_text("certificate")
    (tmp_path / "k").write_text("secret")
    return ["--certificate", str(tmp_path / "c"), "--private-key", str(tmp_path / "k")]


def test_options_fill_the_template(tmp_path: Path, stage: Stage, files: list[str]) -> None:
    assert 0 == stage("--endpoint", "e", "--thing-name", "t", "--port", 443, *files).returncode
    config, template = json.loads((tmp_path / "etc" / CONFIG).read_text()), json.loads(TEMPLATE.read_text())
    expected = {"endpoint": "e", "port": 443, "certificate": CERTIFICATE, "private_key": KEY}
    assert expected == config["agent"]["authentication"]
    assert ("t", False) == (config["agent"]["thing_name"], "instance" in config["agent"])
    assert template["metrics"] == config["metrics"]
    assert b"secret" == (tmp_path / "etc" / KEY).read_bytes()


def test_without_a_terminal_what_is_missing_is_said_and_not_asked_for(stage: Stage, files: list[str]) -> None:
    for options, missing in [
        (["--thing-name", "t", *files], "--endpoint HOST"),
        (["--endpoint", "e", *files], "--thing-name NAME"),
        (["--endpoint", "e", "--thing-name", "t", *files[:2]], "--private-key FILE"),
    ]:
        done = stage("--ask", *options)
        assert (2, True) == (done.returncode, f"missing: {missing}" in done.stderr), done.stderr


def test_on_a_terminal_what_is_missing_is_asked_for(tmp_path: Path, files: list[str]) -> None:
    master, slave = os.openpty()
    os.write(master, f"e\nrpi-0009\n{files[1]}\n{files[3]}\n".encode())
    (tmp_path / "etc").mkdir()
    directories = ["--into", tmp_path / "stage", "--etc", tmp_path / "etc", "--template", TEMPLATE]
    command = [sys.executable, "-I", "-B", DEVICE, "stage-files", "--ask", *directories]
    done = subprocess.run(list(map(str, command)), stdin=slave, capture_output=True, text=True, timeout=60)
    os.close(master)
    os.close(slave)
    assert (0, "rpi-0009 at e, from you\n") == (done.returncode, done.stdout), done.stderr
    asked = [line.strip() for line in done.stderr.split(": ")]
    expected = [
        "the account's endpoint",
        "the name of this thing",
        "the file with the certificate",
        "the file with the private",
    ]
    assert all(question.startswith(begins) for question, begins in zip(asked, expected)), asked
    assert b"secret" == (tmp_path / "stage" / KEY).read_bytes()


def test_the_command_of_a_bundle_or_of_a_configuration_is_left_to_the_service(
    tmp_path: Path, stage: Stage, files: list[str]
) -> None:
    agent = {**AGENT, "instance": {"prefix": "rpi", "command": f"touch '{tmp_path}/ran'; echo 1"}}
    del agent["thing_name"]
    config = json.dumps({"agent": agent}).encode()
    given = bundle(tmp_path / "b.tar", member(CONFIG, config), leave_out=CONFIG)
    (mine := tmp_path / "mine.json").write_bytes(config)
    for options in (["--bundle", given], ["--bundle", given, "--dry-run"], ["--config", mine, *files]):
        done = stage(*options, place=False)
        assert (0, "") == (done.returncode, done.stderr)
        assert done.stdout.startswith("rpi-(serial number) at e, ")
    assert 0 == stage("--bundle", given).returncode
    assert 0 == stage().returncode, "nor is that of what is kept"
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_examples_own_command_is_tried_as_nobody(tmp_path: Path) -> None:
    identity = load()["identity"]
    me = pwd.getpwnam("nobody").pw_uid
    assert identity.prints_serial(f'[ "$(id -u) $(id -G)" = "{me} $(id -g)" ] && echo 1')
    assert not identity.prints_serial("exit 1")


@pytest.mark.parametrize("printed", ["\\377\\376", "\\303", "C02\\351ABC"])
def test_a_serial_number_that_is_no_utf_8_is_one(printed: str) -> None:
    assert load()["identity"].prints_serial(f"printf '{printed}'")


def test_an_option_wins_over_the_bundle(tmp_path: Path, stage: Stage) -> None:
    assert 0 == stage("--bundle", bundle(tmp_path / "b.tar"), "--endpoint", "other", "--port", 443).returncode
    authentication = json.loads((tmp_path / "etc" / CONFIG).read_text())["agent"]["authentication"]
    assert ("other", 443) == (authentication["endpoint"], authentication["port"])


def test_a_complete_configuration_brings_the_files_that_it_names(
    tmp_path: Path, stage: Stage, files: list[str]
) -> None:
    authentication = {"endpoint": "e", "certificate": "c", "private_key": str(tmp_path / "k")}
    mine = {"agent": {"thing_name": "t", "authentication": authentication}, "custom_metrics": {"uptime": {}}}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    assert 0 == stage("--config", tmp_path / "mine.json").returncode
    config = json.loads((tmp_path / "etc" / CONFIG).read_text())
    assert {"endpoint": "e", "certificate": CERTIFICATE, "private_key": KEY} == config["agent"]["authentication"]
    assert {"uptime": {}} == config["custom_metrics"]
    assert (b"certificate", b"secret") == tuple((tmp_path / "etc" / name).read_bytes() for name in (CERTIFICATE, KEY))


def test_a_file_that_is_not_there_is_named(tmp_path: Path, stage: Stage, files: list[str]) -> None:
    done = stage("--endpoint", "e", "--thing-name", "t", *files[:3], tmp_path / "nothing")
    assert (1, f"{tmp_path}/nothing: No such file or directory\n") == (done.returncode, done.stderr)


def test_a_key_that_is_a_device_or_endless_is_refused(stage: Stage, files: list[str]) -> None:
    done = stage("--endpoint", "e", "--thing-name", "t", *files[:3], "/dev/zero")
    assert (1, "/dev/zero must be a file\n") == (done.returncode, done.stderr)


# Again


def test_what_is_there_is_kept_and_what_is_given_is_put_beside(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    edited = json.dumps({"agent": AGENT, "custom_metrics": {"uptime": {}}})
    (tmp_path / "etc" / CONFIG).write_text(edited)
    (tmp_path / "etc" / KEY).write_bytes(b"rotated")
    done = stage("--bundle", tmp_path / "b.tar")
    assert "kept; what was given is in amazon-defender-publisher.json.new, private.key.new" in done.stdout.replace(
        "private.key.new, amazon-defender-publisher.json.new", "amazon-defender-publisher.json.new, private.key.new"
    )
    found = read(tmp_path / "etc")
    assert (edited.encode(), b"rotated", b"secret") == (found[CONFIG], found[KEY], found[f"{KEY}.new"])
    assert 0o600 == stat.S_IMODE((tmp_path / "etc" / f"{KEY}.new").stat().st_mode)
    assert 0 == stage("--bundle", tmp_path / "b.tar", "--replace").returncode
    found = read(tmp_path / "etc")
    assert (b"secret", set(CONTENTS)) == (found[KEY], set(found)), "and nothing is beside it any more"


def test_the_same_bundle_again_changes_nothing(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    before = read(tmp_path / "etc")
    done = stage("--bundle", tmp_path / "b.tar")
    assert "rpi-0001 at e, kept\n" == done.stdout
    assert before == read(tmp_path / "etc")


def test_without_options_the_identity_is_taken_from_what_is_kept(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    before = read(tmp_path / "etc")
    done = stage()
    assert "kept; a new default is in amazon-defender-publisher.json.new (" in done.stdout
    found = read(tmp_path / "etc")
    assert before == {name: found[name] for name in before}
    new = json.loads(found[f"{CONFIG}.new"])
    assert ("rpi-0001", "e") == (new["agent"]["thing_name"], new["agent"]["authentication"]["endpoint"])
    assert json.loads(TEMPLATE.read_text())["metrics"] == new["metrics"], "the new default"


def test_what_is_replaced_is_kept_beside_it_and_apart(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    before = read(tmp_path / "etc")
    assert 0 == run("keep-files", tmp_path / "etc", tmp_path / "old").returncode
    assert before == read(tmp_path / "old")
    assert {f"{name}.old": content for name, content in before.items()}.items() <= read(tmp_path / "etc").items()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "etc" / f"{KEY}.old", tmp_path / "old" / KEY)}
    assert {0o600} == modes


def test_a_certificate_that_was_lost_comes_back_from_the_bundle(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    (tmp_path / "etc" / CERTIFICATE).unlink()
    assert 0 == stage("--bundle", tmp_path / "b.tar").returncode
    assert CONTENTS == {**read(tmp_path / "etc"), CONFIG: CONTENTS[CONFIG]}


# Certificates as AWS issues them, to the day on which they end, and one from before 2000; the rest is ours.
UTC_2026, UTC_1999, GENERALIZED = b"\x17\x0d260101000000Z", b"\x17\x0d991231235959Z", b"\x18\x0f20500101000000Z"


def certificate(
    since: bytes, until: bytes = b"\x17\x0d491231235959Z", version: bytes = b"\xa0\x03\x02\x01\x02"
) -> bytes:
    """Return what of a certificate says since when it is valid, as PEM."""
    validity = since + until
    inside = version + b"\x02\x01\x07" + b"\x30\x00" * 2 + bytes([0x30, len(validity)]) + validity
    return ssl.DER_cert_to_PEM_cert(bytes([0x30, 0x81, len(inside) + 3, 0x30, 0x81, len(inside)]) + inside).encode()


@pytest.mark.parametrize(
    ("pem", "expected"),
    [
        (certificate(UTC_2026), "20260101000000"),
        (certificate(UTC_2026, version=b""), "20260101000000"),
        (certificate(UTC_1999), "19991231235959"),
        (certificate(GENERALIZED), "20500101000000"),
        (b"certificate", ""),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""),
        (b"-----BEGIN CERTIFICATE-----\nMIL/////\n-----END CERTIFICATE-----\n", ""),
        (b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", ""),
    ],
)
def test_since_when_a_certificate_is_valid_is_read_without_the_c_library(pem: bytes, expected: str) -> None:
    assert expected == load()["certificate"].valid_since(pem)


def test_since_when_a_real_certificate_is_valid_is_read(authority: Authority) -> None:
    pem = authority.issue("rpi-0001").certificate.read_bytes()
    expected = x509.load_pem_x509_certificate(pem).not_valid_before_utc
    assert f"{expected:%Y%m%d%H%M%S}" == load()["certificate"].valid_since(pem)


def renewed(path: Path, since: bytes, **agent: object) -> Path:
    """Write a bundle of a thing with a certificate that is valid since a moment, and a key for it."""
    config = json.dumps({"agent": {**AGENT, **agent}}).encode()
    with tarfile.open(path, "w") as tar:
        contents = {**CONTENTS, CONFIG: config, CERTIFICATE: certificate(since), KEY: b"secret" + since}
        for name, content in contents.items():
            tar.addfile(member(name, content)[0], io.BytesIO(content))
    return path


def test_a_bundle_with_a_newer_certificate_for_the_same_thing_replaces_certificate_and_key(
    tmp_path: Path, stage: Stage
) -> None:
    stage("--bundle", renewed(tmp_path / "old.tar", UTC_1999))
    before = read(tmp_path / "etc")
    done = stage("--bundle", renewed(tmp_path / "new.tar", UTC_2026, publish_interval=600))
    assert (0, "") == (done.returncode, done.stderr)
    assert f"rpi-0001 at e, kept, with the newer certificate and key from {tmp_path}/new.tar" in done.stdout
    found = read(tmp_path / "etc")
    assert (certificate(UTC_2026), b"secret" + UTC_2026) == (found[CERTIFICATE], found[KEY])
    assert before[CONFIG] == found[CONFIG], "what an operator has changed stays"
    assert {*before, f"{CONFIG}.new"} == set(found)
    again = stage("--bundle", tmp_path / "old.tar")
    assert f"what was given is in {CERTIFICATE}.new, {KEY}.new (--replace takes it over)" in again.stdout, "not back"
    assert certificate(UTC_2026) == (tmp_path / "etc" / CERTIFICATE).read_bytes()


@pytest.mark.parametrize(
    "agent",
    [{"authentication": {**AGENT["authentication"], "endpoint": "another account's"}}, {"thing_name": "rpi-0002"}],  # type: ignore[dict-item]
)
def test_a_newer_certificate_for_something_else_replaces_nothing(
    tmp_path: Path, stage: Stage, agent: dict[str, object]
) -> None:
    stage("--bundle", renewed(tmp_path / "old.tar", UTC_1999))
    before = read(tmp_path / "etc")
    stage("--bundle", renewed(tmp_path / "new.tar", UTC_2026, **agent))
    found = read(tmp_path / "etc")
    assert before == {name: found[name] for name in before}


def test_another_things_bundle_is_refused_before_anything_changes(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    before = read(tmp_path / "etc")
    other = json.dumps({"agent": {**AGENT, "thing_name": "rpi-0002"}}).encode()
    done = stage("--bundle", bundle(tmp_path / "o.tar", member(CONFIG, other), leave_out=CONFIG))
    assert 1 == done.returncode
    assert "this device is rpi-0001, and what was given is for rpi-0002; --replace" in done.stderr
    assert before == read(tmp_path / "etc")


def test_a_kept_configuration_whose_key_the_service_would_not_get_is_refused(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    authentication = {**AGENT["authentication"], "private_key": "/etc/other.key"}  # type: ignore[dict-item]
    (tmp_path / "etc" / CONFIG).write_text(json.dumps({"agent": {**AGENT, "authentication": authentication}}))
    done = stage("--bundle", tmp_path / "b.tar")
    assert (1, True) == (done.returncode, "agent.authentication.private_key must be private.key" in done.stderr)


def test_a_dry_run_writes_nothing(tmp_path: Path, stage: Stage) -> None:
    done = stage("--bundle", bundle(tmp_path / "b.tar"), "--dry-run", place=False)
    assert (0, "rpi-0001 at e, from " in done.stdout) == (done.returncode, True)
    assert [] == list((tmp_path / "etc").iterdir())
    assert not (tmp_path / "stage").exists()


def test_a_link_in_the_place_of_the_stage_is_not_followed(tmp_path: Path, stage: Stage) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "stage").symlink_to(tmp_path / "elsewhere")
    done = stage("--bundle", bundle(tmp_path / "b.tar"))
    assert [] == list((tmp_path / "elsewhere").iterdir())
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path, files_module: ModuleType, umask: int) -> None:
    before = os.umask(umask)
    try:
        for mode in (0o600, 0o644):
            files_module.write(tmp_path / "f", b"x", mode)
            assert mode == stat.S_IMODE((tmp_path / "f").stat().st_mode)
    finally:
        os.umask(before)


def test_a_secret_is_never_readable_for_a_moment(
    tmp_path: Path, files_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module.os, "fchmod", lambda descriptor, mode: None)
    before = os.umask(0)
    try:
        files_module.write(tmp_path / "key", b"x", 0o600)
    finally:
        os.umask(before)
    assert 0o600 == stat.S_IMODE((tmp_path / "key").stat().st_mode)


@pytest.mark.parametrize(("proxy", "status"), [({"host": "h", "password": "p"}, 0), ({"host": "h"}, 1)])
def test_a_configuration_with_a_password_is_a_secret(tmp_path: Path, proxy: dict[str, str], status: int) -> None:
    (tmp_path / CONFIG).write_text(json.dumps({"agent": {"proxy": proxy}}))
    assert status == run("is-secret", tmp_path / CONFIG).returncode


def test_a_configuration_with_a_password_is_roots_until_the_service_gets_it(tmp_path: Path, stage: Stage) -> None:
    secret = json.dumps({"agent": {**AGENT, "proxy": {"host": "h", "password": "p"}}}).encode()
    assert 0 == stage("--bundle", bundle(tmp_path / "b.tar", member(CONFIG, secret), leave_out=CONFIG)).returncode
    assert 0o600 == stat.S_IMODE((tmp_path / "etc" / CONFIG).stat().st_mode)


def test_the_certificates_id_is_its_fingerprint(authority: Authority) -> None:
    certificate = authority.issue("rpi-0001").certificate
    expected = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    assert f"{expected}\n" == run("certificate-id", certificate).stdout


# The program


def test_a_copy_is_what_its_name_says_until_something_is_changed(tmp_path: Path) -> None:
    name = run("name-program", ROOT).stdout.strip()
    assert name.startswith("0.1.0-")
    copy = tmp_path / name
    assert 0 == run("copy-program", ROOT, copy).returncode
    assert f"{name}\n" == run("name-program", copy).stdout
    assert 0 == run("check-copy", copy).returncode
    again = copy.rename(tmp_path / f"{name}.again")
    assert 0 == run("check-copy", again).returncode
    report = again / "defender_publisher" / "report.py"
    report.write_bytes(report.read_bytes().replace(b"e", b"a", 1))  # of the same length
    assert (1, f"{again} is damaged\n") == ((done := run("check-copy", again)).returncode, done.stderr)
    assert run("name-program", again).stdout.strip() != name


def test_a_copy_can_install_and_remove_and_holds_no_tests_and_nothing_of_the_deployers(tmp_path: Path) -> None:
    run("copy-program", ROOT, tmp_path)
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    expected = {
        "amazon-defender-cloudwatch",
        "amazon-defender-publisher",
        "defender_cloudwatch",
        "defender_daemon",
        "defender_publisher",
        "device_defender",
        "defender_start.py",
        "requirements.txt",
        "configs",
        "installers",
        "LICENSE",
    }
    assert expected == found
    assert os.access(tmp_path / "installers" / "uninstall-rpi.bash", os.X_OK)
    assert {".service"} <= {path.suffix for path in (tmp_path / "installers").iterdir()}
    device = tmp_path / "installers" / "device"
    assert {"__main__.py", *(path.name for path in MODULES)} == {path.name for path in device.iterdir()}


def test_a_copy_has_all_that_the_program_imports(tmp_path: Path) -> None:
    run("copy-program", ROOT, tmp_path)
    command = [sys.executable, "-Es", str(tmp_path / "amazon-defender-publisher"), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert '"metrics"' in done.stdout


@pytest.mark.parametrize("product", ["publisher", "cloudwatch", "detect"])
def test_a_copy_has_all_that_each_program_imports_at_its_start(tmp_path: Path, product: str) -> None:
    name = "amazon-defender-detect" if product == "detect" else "amazon-defender-publisher"
    assert 0 == run("copy-program", ROOT, tmp_path, name).returncode
    command = [sys.executable, "-Es", str(tmp_path / f"amazon-defender-{product}"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert (0, f"amazon-defender-{product} 0.1.0\n") == (done.returncode, done.stdout)
    others = {"defender_detect", "defender_publisher"} & {each.name for each in tmp_path.iterdir()}
    assert 1 == len(others), "no device has Detect, and Detect nothing of a device's"


def test_a_link_points_to_its_new_target_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "current"
    for target in ("versions/1", "versions/2"):
        (tmp_path / "current.new").symlink_to("left behind by one that was killed")
        assert 0 == run("point", link, target).returncode
        assert target == os.readlink(link)
    assert ["current"] == [path.name for path in tmp_path.iterdir()]


def test_the_command_runs_the_current_version_also_below_a_directory_with_a_blank(tmp_path: Path) -> None:
    root = tmp_path / "a 'b'"
    python, program = root / "current" / "venv" / "bin" / "python", root / "current" / "amazon-defender-publisher"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    python.chmod(0o755)
    (root / "bin").mkdir()
    assert 0 == run("write-launcher", root, "nobody").returncode
    command = [str(root / "bin" / "amazon-defender-publisher"), "--doctor", "x y"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"-Es|{program}|--doctor|x y|" == said
    python.write_text('#!/bin/sh\nprintf "%s" "$AMAZON_DEFENDER_COMMANDS_AS"\n')
    assert "nobody" == subprocess.run(command, capture_output=True, text=True, check=True).stdout


# The verdict


@pytest.fixture
def ask(tmp_path: Path, verdict_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Wait for the verdict of a program whose status is as given, and which answers --doctor as given."""
    for name, seconds in {"POLL": 0.02, "CONNECT_WITHIN": 0.4, "REPORT_WITHIN": 0.4}.items():
        monkeypatch.setattr(verdict_module, name, seconds)

    def ask(
        capsys: pytest.CaptureFixture[str], status: object, *failed: dict[str, str], endpoint: str = AT_AWS
    ) -> tuple[int, str]:
        agent = {"state_directory": str(tmp_path), "authentication": {"endpoint": endpoint}}
        (tmp_path / "config").write_text(json.dumps({"agent": agent}))
        (tmp_path / "status.json").write_text(json.dumps(status))
        (tmp_path / "--doctor").write_text(json.dumps({"rungs": [{"rung": "config", "verdict": "ok"}, *failed]}))
        program = tmp_path / "program"
        program.write_text(f'#!/bin/sh\ncat "{tmp_path}/$1"\n')
        program.chmod(0o755)
        code = load()["__main__"].main(["wait-for-verdict", str(program), f"{tmp_path}/config", str(SINCE)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return ask


AT_AWS = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"
SINCE = 1000.0
CONNECTED = {"since": SINCE, "connection": {"connected": True}}
TCP = {"rung": "TCP", "verdict": "fail", "says": "no answer", "advice": "set port 443"}


def report(verdict: str, moment: float = SINCE + 1) -> dict[str, object]:
    return {**CONNECTED, "last_report": {"report_id": 7, "verdict": verdict, "time": moment}}


@pytest.mark.parametrize(
    ("status", "failed", "expected"),
    [
        (report("accepted"), [], (0, "report 7 accepted by AWS IoT Device Defender\n")),
        (report("delivered"), [], (0, "report 7 delivered; nobody answers on a topic of your own\n")),
        (report("accepted"), [TCP], (0, "report 7 accepted by AWS IoT Device Defender\n")),
        (report("rejected: InvalidPayload"), [TCP], (1, "no report was accepted: TCP: no answer; set port 443\n")),
        (report("accepted", SINCE - 1), [TCP], (1, "no report was accepted: TCP: no answer; set port 443\n")),
        ({"since": SINCE}, [TCP], (1, "no report was accepted: TCP: no answer; set port 443\n")),
        ({"since": SINCE, "last_error": {"text": "why"}}, [], (1, "no report was accepted: why\n")),
        (
            {**report("accepted"), "since": SINCE - 1},
            [TCP],
            (1, "no report was accepted: TCP: no answer; set port 443\n"),
        ),
        (None, [], (1, "no report was accepted: the program says nothing; look into its log\n")),
    ],
)
def test_the_verdict_is_that_of_a_report_since_the_start_or_the_one_thing_to_do(
    ask: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str], status: object,
    failed: list[dict[str, str]], expected: tuple[int, str],
) -> None:  # fmt: skip
    assert expected == ask(capsys, status, *failed)


@pytest.mark.parametrize(
    ("endpoint", "by"),
    [
        ("a1-ats.iot.cn-north-1.amazonaws.com.cn", "AWS IoT Device Defender"),
        ("localhost", "localhost"),
        ("broker.example", "broker.example"),
        ("amazonaws.com.example", "amazonaws.com.example"),
    ],
)
def test_aws_is_named_only_where_the_endpoint_is_one_of_aws(
    ask: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str], endpoint: str, by: str
) -> None:
    assert (0, f"report 7 accepted by {by}\n") == ask(capsys, report("accepted"), endpoint=endpoint)


@pytest.mark.parametrize(
    ("next_report", "due"), [(SINCE + 290, SINCE + 301), (SINCE + 305, SINCE + 305), (None, SINCE + 301)]
)
def test_a_report_that_is_throttled_proves_the_way_and_the_time_of_the_next_one_is_said(
    ask: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str], next_report: float | None, due: float
) -> None:
    """AWS takes a report of a thing once in 5 minutes: a card that is flashed again, `--once` before the service."""
    status = {**report("rejected: Throttled"), "interval": 300, "next_report": next_report}
    code, said = ask(capsys, status, TCP)
    assert 0 == code
    assert said.startswith("report 7 throttled, ")
    assert said.endswith(f" {time.strftime('%H:%M:%S', time.localtime(due))}\n")


def test_waiting_for_the_verdict_starts_no_process(
    ask: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    sys.addaudithook(lambda event, arguments: started.append(arguments[1]) if event == "subprocess.Popen" else None)
    ask(capsys, report("accepted"))
    assert [] == started
    ask(capsys, CONNECTED, TCP)
    assert [["--doctor"]] == [words[1:2] for words in started], "only for what is wrong"  # type: ignore[index]


@pytest.mark.parametrize("trick", ["link", "pipe", "directory", "nothing", "endless", "no UTF-8", "deep"])
def test_a_status_that_plays_a_trick_is_no_status(tmp_path: Path, verdict_module: ModuleType, trick: str) -> None:
    path = tmp_path / "status.json"
    (tmp_path / "shadow").write_text('{"since": 1}')
    {
        "link": lambda: path.symlink_to("shadow"),
        "pipe": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "nothing": lambda: None,
        "endless": lambda: path.write_bytes(b'{"a": "' + b"x" * 2_000_000),
        "no UTF-8": lambda: path.write_bytes(b"\xff\xfe"),
        "deep": lambda: path.write_bytes(b"[" * 100_000),
    }[trick]()
    assert {} == verdict_module.read_status(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_doctor_of_root_runs_as_the_services_user_with_a_copy_of_the_key(
    tmp_path: Path, verdict_module: ModuleType
) -> None:
    (tmp_path / KEY).write_text("secret")
    (tmp_path / KEY).chmod(0o600)
    with verdict_module.as_service("nobody", tmp_path / KEY) as (key, identity):
        done = subprocess.run(["sh", "-c", f"id -un; cat {key}"], capture_output=True, text=True, **identity)
        assert "nobody\nsecret" == done.stdout
    assert not key.exists()
    with verdict_module.as_service("there is no such user", tmp_path / KEY) as nobody:
        assert (None, {}) == nobody


class Clock:
    """A clock that goes on while somebody sleeps, and only then."""

    def __init__(self, now: float) -> None:
        self._now = now

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def test_a_report_that_is_due_later_is_waited_for_and_that_is_said(
    ask: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str], verdict_module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clock = Clock(SINCE)
    monkeypatch.setattr(verdict_module, "time", clock)
    code, said = ask(capsys, {**CONNECTED, "next_report": SINCE + 20}, TCP)
    assert (1, True) == (code, said.startswith("connected; the next report is due in 20 s"))
    assert clock.time() == pytest.approx(SINCE + 20 + verdict_module.REPORT_WITHIN, abs=2 * verdict_module.POLL)
