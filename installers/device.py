#!/usr/bin/env python3
"""What the installers leave to Python: bundles, configurations, copies of the program, and the wait for a verdict.

Runs as `python3 -I device.py COMMAND ...` with the device's own Python, before any package is there: Python 3.9 and the
standard library. Prints one line about what it did; what is wrong is one sentence on standard error and exit status 1,
what was not told and can not be asked for is exit status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

CONFIG, CERTIFICATE, KEY, ROOTS = "amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem"
MODES = {ROOTS: 0o644, CERTIFICATE: 0o644, KEY: 0o600, CONFIG: 0o644}  # in the order in which they are put in place
PATHS = {"certificate": CERTIFICATE, "private_key": KEY, "root_ca": ROOTS}  # keys of agent.authentication
GIVEN = ("bundle", "config", "endpoint", "thing_name", "certificate", "private_key", "root_ca", "port")  # options
LARGEST = 1_000_000  # bytes of a file in a bundle; a thousand times what they have
PLACEHOLDER = "REPLACE"  # what an example's endpoint begins with
SCHEMA = "../current/configs/schema.json"  # as seen from the configuration, for editors

PROGRAM = "amazon-defender-publisher"
PARTS = (  # of the source that a device needs
    PROGRAM, "defender_publisher", "requirements.txt", "configs", "installers", "LICENSE",
)  # fmt: skip
SUFFIXES = {".py", ".pem", ".json", ".txt", ".sh", ".bash", ".service", ".plist", ".conf", ""}
DIGEST_LENGTH = 8  # hexadecimal digits; enough to tell two states of one checkout apart

COMMAND_TIMEOUT = 30  # seconds for the command that makes the thing's name, as the program allows it
POLL = 0.5  # seconds between two looks at the status
CONNECT_WITHIN = 30.0  # seconds after the start; the program tries again after up to 1, 2, 4, 8 ... s
LONG = 15.0  # seconds of waiting, from which on it is said how long it takes
REPORT_WITHIN = 60.0  # seconds after a report is due; the first is due within 10 s, and a verdict takes at most 15
LONGEST_WAIT = 400.0  # seconds; an upgrade waits until an interval of 300 s has passed since the last report


class Problem(Exception):
    """What is wrong, as a sentence for the operator; `status` is the exit status that says so."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def main(argv: list[str] | None = None) -> int:
    """Do what the command says; return the exit status."""
    arguments = parse_arguments(argv)
    try:
        line = arguments.do(arguments)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return problem.status
    except OSError as error:
        print(f"{error.filename or 'the system'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    if line:
        print(line)
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the command's arguments, with the function that does it as `do`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for do, names in {
        name_program: ["source"],
        copy_program: ["source", "directory"],
        check_copy: ["directory"],
        place_files: ["stage", "etc"],
        keep_files: ["etc", "old"],
        point: ["link", "target"],
        write_launcher: ["root"],
        is_secret: ["config"],
        certificate_id: ["certificate"],
        wait_for_verdict: ["program", "config", "since"],
    }.items():
        command = commands.add_parser(do.__name__.replace("_", "-"), help=(do.__doc__ or "").splitlines()[0])
        command.set_defaults(do=do)
        for name in names:
            command.add_argument(name, type=float if name == "since" else Path)
    stage = commands.add_parser("stage-files", help=(stage_files.__doc__ or "").splitlines()[0])
    stage.set_defaults(do=stage_files)
    for option in ("--into", "--etc", "--template"):
        stage.add_argument(option, type=Path, required=True)
    for option in ("--bundle", "--config", "--certificate", "--private-key", "--root-ca"):
        stage.add_argument(option, type=Path)
    for option in ("--endpoint", "--thing-name", "--state-directory", "--logfile"):
        stage.add_argument(option)
    stage.add_argument("--port", type=int)
    for option in ("--replace", "--ask", "--dry-run"):
        stage.add_argument(option, action="store_true")
    return parser.parse_args(argv)


# The program


def name_program(arguments: argparse.Namespace) -> str:
    """Print the name of the version that a source tree holds: its number and the digest of its files."""
    version = ""
    for line in (arguments.source / "defender_publisher" / "__init__.py").read_text("utf-8").splitlines():
        if line.startswith("__version__"):
            version = line.split('"')[1]
    return f"{version}-{digest_of(arguments.source)}"


def copy_program(arguments: argparse.Namespace) -> None:
    """Copy what a device needs of a source tree into a directory."""
    for path in parts_of(arguments.source):
        target = arguments.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(arguments.source / path, target)
        target.chmod(0o755 if target.suffix in ("", ".bash") and target.name != "LICENSE" else 0o644)


def check_copy(arguments: argparse.Namespace) -> None:
    """Fail unless the directory holds the very files that its name stands for."""
    if digest_of(arguments.directory) != arguments.directory.name.split("-")[-1].split(".")[0]:
        raise Problem(f"{arguments.directory} is damaged")


def digest_of(source: Path) -> str:
    """Return the digest of the names and contents of all files that a device needs."""
    digest = hashlib.sha256()
    for path in parts_of(source):
        content = (source / path).read_bytes()
        digest.update(f"{path.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGEST_LENGTH]


def parts_of(source: Path) -> list[Path]:
    """Return the files that a device needs, relative to the source tree, in one order everywhere."""
    found = []
    for part in PARTS:
        inside = source / part
        files = inside.rglob("*") if inside.is_dir() else [inside] if inside.is_file() else []
        found += [each for each in files if each.is_file() and each.suffix in SUFFIXES]
    return sorted(each.relative_to(source) for each in found if "__pycache__" not in each.parts)


def point(arguments: argparse.Namespace) -> None:
    """Let a symbolic link point to a target, in one step: whoever follows it finds the old one or the new one."""
    new = arguments.link.with_name(arguments.link.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(arguments.target)
    os.replace(new, arguments.link)


def write_launcher(arguments: argparse.Namespace) -> None:
    """Write the command that a person runs: the current version, with its own Python and nobody's environment."""
    current = shlex.quote(str(arguments.root / "current"))
    text = f'#!/bin/sh\nexec {current}/venv/bin/python -Es {current}/{PROGRAM} "$@"\n'
    write(arguments.root / "bin" / PROGRAM, text.encode(), 0o755)


# Configuration and credentials


def stage_files(arguments: argparse.Namespace) -> str:
    """Gather configuration, certificate, key and roots in a directory of their own, as they will be in etc."""
    kept, given = read_kept(arguments), read_given(arguments)
    files = dict(given) if not kept or arguments.replace else {**kept, **beside(kept, given)}
    if not arguments.dry_run:
        write_stage(arguments.into, files)
    return describe(kept, given, files, arguments)


def read_kept(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return what an earlier installation left in etc: nothing, unless there is a configuration."""
    if not (arguments.etc / CONFIG).exists():
        return {}
    paths = [arguments.etc / name for name in MODES if (arguments.etc / name).exists()]
    kept = {path.name: path.read_bytes() for path in paths if not (arguments.dry_run and not os.access(path, os.R_OK))}
    key = section(section(parse(kept[CONFIG], str(arguments.etc / CONFIG)), "agent"), "authentication").get(
        "private_key"
    )
    if key not in (KEY, str(arguments.etc / KEY)):
        raise Problem(f"agent.authentication.private_key must be {KEY}, the file that the service is given, got {key}")
    return kept


def read_given(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return what was given this time, completed from what is there; raises Problem for what is still missing."""
    files: dict[str, bytes] = {}
    origin = arguments.etc
    if arguments.bundle:
        files = read_bundle(arguments.bundle)
        config = parse(files[CONFIG], f"{arguments.bundle}: {CONFIG}")
    else:
        there = arguments.etc / CONFIG
        identity = parse(there.read_bytes(), str(there)) if there.exists() and not arguments.config else {}
        base = arguments.config or arguments.template
        origin = arguments.etc if identity else base.parent
        config = take_identity(parse(base.read_bytes(), str(base)), identity)
    agent = section(config, "agent")
    authentication = section(agent, "authentication")
    answer(arguments, agent, authentication)
    missing = []
    for key, name in PATHS.items():
        path = source_of(arguments, key, authentication.get(key), origin, name in files)
        if path is not None and not (arguments.dry_run and not os.access(path, os.R_OK)):
            files[name] = read_file(path)
        if name in files or path is not None:
            authentication[key] = name
        elif key != "root_ca":
            missing.append(f"--{key.replace('_', '-')} FILE")
    if missing:
        raise Problem(f"missing: {', '.join(missing)}; or everything at once by --bundle FILE", 2)
    if "state_directory" not in agent and arguments.state_directory:
        agent["state_directory"] = arguments.state_directory
    if "logfile" not in agent and arguments.logfile:
        agent["logfile"] = arguments.logfile
    if "$schema" in config:
        config["$schema"] = SCHEMA
    files[CONFIG] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def read_bundle(bundle: Path) -> dict[str, bytes]:
    """Return the four files of a bundle; raises Problem for a tar that holds anything else."""
    try:
        with tarfile.open(bundle, "r:") as tar:
            files: dict[str, bytes] = {}
            for member in tar:
                name = member.name[2:] if member.name.startswith("./") else member.name
                refuse_member(bundle, member, name, name in files)
                content = tar.extractfile(member)
                files[name] = content.read(LARGEST) if content else b""
    except tarfile.TarError as error:
        raise Problem(f"{bundle} is no bundle: {error}") from error
    missing = sorted(set(MODES) - set(files))
    if missing:
        raise Problem(f"{bundle} is no bundle: {', '.join(missing)} is missing in it")
    return files


def refuse_member(bundle: Path, member: tarfile.TarInfo, name: str, twice: bool) -> None:
    """Raise Problem for a member that is not one of the four plain files, each once and none too large."""
    if name not in MODES:
        raise Problem(f"{bundle} is no bundle: it holds {name!r}; a bundle holds {', '.join(MODES)}")
    if not member.isreg() or member.issparse():
        raise Problem(f"{bundle} is no bundle: {name} in it is not a plain file")
    if twice:
        raise Problem(f"{bundle} is no bundle: it holds {name} twice")
    if member.size > LARGEST:
        raise Problem(f"{bundle} is no bundle: {name} in it has {member.size} bytes, more than {LARGEST}")


def parse(content: bytes, where: str) -> dict[str, Any]:
    """Return a configuration as the object it is; raises Problem for what is none."""
    try:
        config = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Problem(f"{where} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise Problem(f"{where} must be a JSON object")
    return config


def section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of a configuration, which is made if it is not there."""
    found = config.setdefault(name, {})
    if not isinstance(found, dict):
        raise Problem(f"{name} must be a JSON object, in the configuration")
    return found


def take_identity(config: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration the identity of another one: who the device is, and where it reports."""
    if other:
        agent, there = section(config, "agent"), section(other, "agent")
        for key in ("thing_name", "instance", "client_id", "authentication", "proxy"):
            agent.pop(key, None)
            if key in there:
                agent[key] = there[key]
    return config


def answer(arguments: argparse.Namespace, agent: dict[str, Any], authentication: dict[str, Any]) -> None:
    """Fill in what the options say, and ask for what nobody has said yet, if there is somebody to ask."""
    if authentication.get("method", "certificate") != "certificate":
        raise Problem("agent.authentication.method must be certificate: the service keeps no AWS credentials")
    if PLACEHOLDER in str(authentication.get("endpoint", PLACEHOLDER)):
        authentication.pop("endpoint", None)
    if arguments.endpoint:
        authentication["endpoint"] = arguments.endpoint
    if arguments.port:
        authentication["port"] = arguments.port
    if arguments.thing_name:
        agent["thing_name"] = arguments.thing_name
        agent.pop("instance", None)
    if "endpoint" not in authentication:
        asked = ask(arguments, "--endpoint HOST", "the account's endpoint (aws iot describe-endpoint "
                    "--endpoint-type iot:Data-ATS)")  # fmt: skip
        authentication["endpoint"] = asked
    if "thing_name" not in agent and not serial_of(agent.get("instance")):
        agent["thing_name"] = ask(arguments, "--thing-name NAME", "the name of this thing")
        agent.pop("instance", None)


def ask(arguments: argparse.Namespace, option: str, what: str) -> str:
    """Return what a person types; raises Problem where there is nobody."""
    if not (arguments.ask and sys.stdin.isatty()):
        raise Problem(f"missing: {option}; or everything at once by --bundle FILE", 2)
    print(f"{what}: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline().strip()
    if not typed:
        raise Problem(f"missing: {option}", 2)
    return typed


def serial_of(instance: Any) -> bool:
    """Return whether `agent.instance` makes a thing name on this device."""
    if not isinstance(instance, dict):
        return False
    if instance.get("serial") or not isinstance(instance.get("command"), str):
        return bool(instance.get("serial"))
    try:
        done = subprocess.run(  # noqa: S602 - the configuration's own command line, as the program runs it
            instance["command"], shell=True, check=False, capture_output=True, text=True, timeout=COMMAND_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def source_of(arguments: argparse.Namespace, key: str, named: Any, origin: Path, bundled: bool) -> Path | None:
    """Return the file to take for a key of `agent.authentication`, None if the bundle has it or nobody named one.

    `named` is what the configuration says, relative to `origin`, where that configuration comes from.
    """
    there, option = Path(arguments.etc / PATHS[key]), key.replace("_", "-")
    if getattr(arguments, key) is not None:
        return Path(getattr(arguments, key))
    if bundled:
        return None
    path = origin / Path(str(named)).expanduser()
    if named is not None and (arguments.config or path.exists()):
        return path
    if there.exists():
        return there
    if key != "root_ca" and arguments.ask and sys.stdin.isatty():
        return Path(ask(arguments, f"--{option} FILE", f"the file with the {option.replace('-', ' ')}")).expanduser()
    return None


def read_file(path: Path) -> bytes:
    """Return what is in a plain file of ordinary size."""
    if path.exists() and not path.is_file():
        raise Problem(f"{path} must be a file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Problem(f"{path} has more than {LARGEST} bytes; that is neither a key nor a certificate")
    return content


def beside(kept: dict[str, bytes], given: dict[str, bytes]) -> dict[str, bytes]:
    """Return what was given and is not what is kept, to be put beside it as `.new`, or in the place of what is lost."""
    return {
        name + ".new" * (name in kept): content
        for name, content in given.items()
        if not same(name, kept.get(name), content)
    }


def same(name: str, one: bytes | None, other: bytes) -> bool:
    """Whether two contents are the same; configurations are whatever their spacing and the order of their keys."""
    return one == other or (name == CONFIG and one is not None and parse(one, name) == parse(other, name))


def write_stage(directory: Path, files: dict[str, bytes]) -> None:
    """Write the files into a directory that only its owner can enter, and which holds nothing else."""
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    for name, content in files.items():
        write(directory / name, content, mode_of(name, content))


def describe(
    kept: dict[str, bytes], given: dict[str, bytes], files: dict[str, bytes], arguments: argparse.Namespace
) -> str:
    """Return the line about identity; raises Problem for a bundle that is another thing's."""
    mine, theirs = (identity_of(each) if each else None for each in (kept, given))
    if mine and theirs and mine[0] != theirs[0] and not arguments.replace:
        raise Problem(
            f"this device is {mine[0]}, and what was given is for {theirs[0]}; --replace lets it become that one"
        )
    name, endpoint = identity_of(files)
    from_where = "kept" if mine and not arguments.replace else f"from {arguments.bundle or arguments.config or 'you'}"
    new = [each for each in files if each.endswith(".new")]
    what = "what was given" if any(getattr(arguments, each) for each in GIVEN) else "a new default"
    aside = f"; {what} is in {', '.join(new)} (--replace takes it over)" if new else ""
    return f"{name} at {endpoint}, {from_where}{aside}"


def identity_of(files: dict[str, bytes]) -> tuple[str, str]:
    """Return the thing's name, or how it is made, and the endpoint."""
    agent = section(parse(files[CONFIG], CONFIG), "agent")
    name = agent.get("thing_name") or f"{section(agent, 'instance').get('prefix', 'sys')}-(serial number)"
    return str(name), str(section(agent, "authentication").get("endpoint"))


def place_files(arguments: argparse.Namespace) -> None:
    """Put the staged files into etc, each in one step, the configuration last."""
    for name in (*MODES, *(each + ".new" for each in MODES)):
        staged = arguments.stage / name
        if staged.exists():
            write(arguments.etc / name, content := staged.read_bytes(), mode_of(name, content))
        elif name not in MODES:  # put beside by an earlier run, and no longer new
            with contextlib.suppress(FileNotFoundError):
                (arguments.etc / name).unlink()
    shutil.rmtree(arguments.stage)


def keep_files(arguments: argparse.Namespace) -> None:
    """Copy what is in etc to another directory, to be brought back should the new not do, and beside it as `.old`."""
    kept = {name: (arguments.etc / name).read_bytes() for name in MODES if (arguments.etc / name).exists()}
    for name, content in kept.items():
        write(arguments.etc / f"{name}.old", content, mode_of(name, content))
    write_stage(arguments.old, kept)


def mode_of(name: str, content: bytes) -> int:
    """Return the mode of a file in etc; a configuration that holds a password is root's until the service gets it."""
    plain = name.replace(".new", "")
    return MODES[KEY] if plain == CONFIG and holds_password(content) else MODES[plain]


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step: it has its mode from the beginning, and is the old one or the new one after a crash."""
    temporary = path.with_name(f".{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def is_secret(arguments: argparse.Namespace) -> None:
    """Fail unless a configuration holds a password, which others than the service must not read."""
    if not holds_password(read_file(arguments.config)):
        raise Problem(f"{arguments.config} holds no password")


def holds_password(config: bytes) -> bool:
    """Whether a configuration has a password for the proxy in it."""
    return "password" in section(section(parse(config, CONFIG), "agent"), "proxy")


def certificate_id(arguments: argparse.Namespace) -> str:
    """Print the certificate's ID in AWS IoT, which is its SHA-256 fingerprint."""
    text = arguments.certificate.read_text("ascii", "replace")
    begin, end = text.find("-----BEGIN CERTIFICATE-----"), text.find("-----END CERTIFICATE-----")
    if not 0 <= begin < end:
        raise Problem(f"{arguments.certificate} holds no certificate")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----")).hexdigest()


# The verdict


def wait_for_verdict(arguments: argparse.Namespace) -> str:
    """Wait for the first verdict after `since`; print it, or what the doctor finds, which is exit status 1."""
    status: dict[str, Any] = {}
    deadline, told = time.time() + CONNECT_WITHIN, False
    while time.time() < deadline:
        health = ask_program(arguments, "--status")
        status = health.get("status") or {}
        if (status.get("since") or 0) >= arguments.since:
            report, connection = status.get("last_report") or {}, status.get("connection") or {}
            if report.get("time", 0) >= arguments.since and report.get("verdict") in ("accepted", "delivered"):
                return confirm(arguments, report)
            if report.get("time", 0) >= arguments.since:
                break
            if connection.get("connected"):
                due = (status.get("next_report") or time.time()) + REPORT_WITHIN
                deadline = max(deadline, min(due, arguments.since + LONGEST_WAIT))
                told = told or tell_wait(status)
        time.sleep(POLL)
    raise Problem(f"no report was accepted: {diagnose(arguments) or last_words(status)}")


def confirm(arguments: argparse.Namespace, report: dict[str, Any]) -> str:
    """Return the line about a report that arrived; raises Problem if the doctor finds something all the same."""
    problem = diagnose(arguments)
    if problem:
        raise Problem(f"report {report['report_id']} {report['verdict']}, but {problem}")
    if report["verdict"] == "delivered":
        return f"report {report['report_id']} delivered; nobody answers on a topic of your own"
    return f"report {report['report_id']} accepted by AWS IoT Device Defender"


def tell_wait(status: dict[str, Any]) -> bool:
    """Say how long it takes where that is long; return whether it was said."""
    wait = (status.get("next_report") or 0) - time.time()
    if wait > LONG:
        print(
            f"connected; the next report is due in {wait:.0f} s (Ctrl-C does no harm) ...", file=sys.stderr, flush=True
        )
    return wait > LONG


def diagnose(arguments: argparse.Namespace) -> str:
    """Return what the doctor says is wrong and what to do, empty if it finds nothing."""
    for rung in ask_program(arguments, "--doctor").get("rungs", []):
        if rung.get("verdict") == "fail":
            return f"{rung['rung']}: {rung['says']}; {rung.get('advice') or 'look into the log'}"
    return ""


def last_words(status: dict[str, Any]) -> str:
    """Return the last error that the program told."""
    return str((status.get("last_error") or {}).get("text") or "the program says nothing; look into its log")


def ask_program(arguments: argparse.Namespace, question: str) -> dict[str, Any]:
    """Return the program's answer to a question, as JSON has it; nothing, if it has none."""
    done = subprocess.run(
        [arguments.program, question, "--json", arguments.config],
        check=False,
        capture_output=True,
        text=True,
        umask=0o022,  # what the doctor may leave in the state is for the service to read
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
