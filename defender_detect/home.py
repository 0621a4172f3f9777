"""At home: the words that make an authority and give things their certificates, and what they print."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec

from defender_detect.arguments import PROGRAM
from defender_detect.authority import mosquitto, things
from defender_detect.authority.certificates import hosts_of
from defender_detect.authority.directory import DEFAULT, Directory
from defender_detect.authority.expiry import Ending, own_endings, read_waiting, thing_endings
from defender_detect.authority.hosts import EVERYWHERE, LOCAL, is_loopback
from defender_detect.authority.initialization import Wish, initialize
from defender_detect.authority.passphrase import Passphrase
from defender_detect.authority.record import Record, date, read_record
from defender_detect.authority.renewals import Renewals, read_renewals
from defender_detect.authority.serving import detect_certificate
from defender_detect.authority.things import Wanted
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.errors import AuthorityError
from defender_detect.renewing import WITH_MOSQUITTO, state_of

CONF_D = "/etc/mosquitto/conf.d/"  # what Debian's mosquitto.conf includes


def carry_out(options: Mapping[str, Any]) -> Iterator[str]:
    """Do what a command line asks for, and yield the lines that say so; raise DetectError if it cannot be done."""
    command, directory = options["command"], Directory(options["directory"])
    now = datetime.now(timezone.utc)
    if command == "list":
        yield from list_certificates(directory, now, as_json=options["json"])
        return
    passphrase = Passphrase(options["passphrase_file"], options.get("passphrase", False))
    if command == "init":
        wish = Wish(options["listen"], options["port"], options["mosquitto"], options["renewal"])
        yield from init(directory, wish, now, passphrase)
    elif command == "remove":
        yield from remove(directory, options["thing"], now, passphrase)
    elif options.get("server"):
        yield from things.renew_server(directory, now, passphrase)
        yield f"{PROGRAM}{' and mosquitto' if mosquitto.is_used(directory) else ''} must be restarted to use it"
    elif options.get("over_the_air") or options.get("all"):
        yield from ask_to_renew(directory, options["over_the_air"], now)
    else:
        yield from issue(command, directory, options, now, passphrase)


def init(directory: Directory, wish: Wish, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Make what is missing, and say what to type next."""
    is_complete = True
    for line in initialize(directory, wish, now, passphrase):
        is_complete = False
        yield line
    if is_complete:
        yield f"{directory.path} is complete, nothing was changed"
    config = read_config(directory.config, {})
    if wish.renewal and config.agent.renewal is None:  # which is somebody's own to edit
        name = directory.authority.name
        yield f'add "renewal": {{"authority": "{name}"}} to agent in {directory.config}, and restart Detect'
    if config.agent.renewal is not None:
        yield f"the service is given the key in {directory.authority_key} to renew certificates: see docs/security.md"
    yield from say_what_next(directory, config)


def issue(
    command: str, directory: Directory, options: Mapping[str, Any], now: datetime, passphrase: Passphrase
) -> Iterator[str]:
    """Write a thing's bundle, and say what is to be done with it."""
    if not directory.config.exists():
        raise AuthorityError(f"there is no {directory.config}: run {PROGRAM} init {directory.path} first")
    agent = read_config(directory.config, {}).agent
    port, renews = agent.authentication.port, agent.renewal is not None
    if not port:
        raise AuthorityError(f"{directory.config}: agent.authentication.port must be the port that things connect to")
    wanted = Wanted(options["thing"], port, options["output"], options["endpoint"], renews)
    do = things.add if command == "add" else things.renew
    yield from do(directory, wanted, now, passphrase)
    name = shlex.quote(wanted.path.name)
    yield f"bring it to the device and install it there: sudo installers/install-rpi.bash --bundle {name}"
    yield "it holds the device's private key, which is nowhere else: remove it here when the device reports"


def ask_to_renew(directory: Directory, names: Sequence[str], now: datetime) -> Iterator[str]:
    """Let things renew their certificates over the air, where the configuration allows it."""
    if mosquitto.is_used(directory):
        raise AuthorityError(f"{WITH_MOSQUITTO}; `renew THING` issues a bundle")
    if read_config(directory.config, {}).agent.renewal is None:
        raise AuthorityError(
            f"{directory.config} has no agent.renewal, which allows it: run {PROGRAM} init --renewal {directory.path}, "
            "or issue a bundle (renew THING)"
        )
    yield from things.renew_over_the_air(directory, names, now)


def remove(directory: Directory, thing: str, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Shut a thing out, and say what the broker makes of it."""
    yield from things.remove(directory, thing, now, passphrase)
    if mosquitto.is_used(directory):
        yield f"mosquitto must be restarted, which ends its connection: {mosquitto.RESTART}"
    else:
        yield "the built-in broker ends its connection within a second"


def list_certificates(directory: Directory, now: datetime, as_json: bool) -> Iterator[str]:
    """Yield a line for each certificate, or one JSON object."""
    record, moment = read_record(directory.record), now.replace(tzinfo=None)
    renewals = read_renewals(state_of(read_config(directory.config, {}))) if directory.config.exists() else Renewals()
    own = list(own_endings(directory))
    others = {each.whose: each for each in thing_endings(directory, record, renewals)}
    if as_json:
        found = {each.whose: {"ends": f"{each.ends.isoformat()}Z", "days": each.days(moment)} for each in own}
        issued = [msgspec.to_builtins(each) for each in record.certificates]
        air = {thing: msgspec.to_builtins(each) for thing, each in renewals.things.items()}
        yield json.dumps({**found, "things": issued, "over_the_air": air}, indent=2)
        return
    width = max(len(each) for each in [*record.things(), "the authority"])
    for each in own:
        yield f"{each.whose:{width}}  {until(each, moment)}"
    yield f"{'':{width}}  Detect is reached by {', '.join(hosts_of(detect_certificate(directory)))}"
    for thing in record.things():
        yield f"{thing:{width}}  {until(others[thing], moment) if thing in others else removed(record, thing)}"
        committed = renewals.of(thing).committed
        if committed is not None and thing in others:
            yield f"{'':{width}}  renewed over the air on {date(committed)}"
    yield from read_waiting(directory, record, renewals)


def until(ending: Ending, now: datetime) -> str:
    """Say until when a certificate is valid, and what to do where that is soon."""
    if ending.is_soon(now):
        word = "ended on" if ending.ends <= now else "valid until"
        return f"{word} {ending.ends:%Y-%m-%d} ({ending.days(now)} days): {ending.remedy}"
    return f"valid until {ending.ends:%Y-%m-%d} ({ending.days(now)} days)"


def removed(record: Record, thing: str) -> str:
    """Say when a thing was removed."""
    return f"removed on {date(max(each.removed or 0 for each in record.of(thing)))}"


def say_what_next(directory: Directory, config: Config) -> Iterator[str]:
    """Yield the commands that lead from here to a device that reports."""
    program = PROGRAM if shutil.which(PROGRAM) else f"./{PROGRAM}"
    sudo = "sudo " if os.geteuid() == 0 else ""
    default, here = directory.path.absolute() == DEFAULT, shlex.quote(str(directory.path))
    endpoint, port = hosts_of(detect_certificate(directory))[0], config.agent.authentication.port
    listening = config.agent.authentication.endpoint or LOCAL[0]
    yield f"things connect to {endpoint} port {port}; other names or addresses: {program} init {here} --listen NAME ..."
    if config.agent.embedded_broker:
        where = "every address of this machine" if listening == EVERYWHERE else listening
        yield f"the built-in broker will listen on {where}; only certificates of this authority get in"
    if config.agent.embedded_broker and is_loopback(listening) and not is_loopback(endpoint):
        key = f"{directory.config}: agent.authentication.endpoint"
        yield f"{key} must be {EVERYWHERE} for that, because at {listening} only this machine reaches the broker"
    yield "next:"
    if mosquitto.is_used(directory):
        if command := mosquitto.what_to_do_first(directory):
            yield f"  {command}"
        listener = shlex.quote(str((directory.mosquitto / mosquitto.CONFIG).absolute()))
        yield f"  sudo install -m 644 {listener} {CONF_D} && {mosquitto.RESTART}"
    if default:
        yield "  sudo installers/install-detect.bash"
    else:
        yield f"  {sudo}{program} {shlex.quote(str(directory.config))}"
    yield f"  {sudo}{program} add rpi-0001{'' if default else f' --directory {here}'}"
    yield "  sudo installers/install-rpi.bash --bundle rpi-0001.tar        (on the device)"
    yield f"{directory.profiles} says what is normal: so far only that things report; in a few days, what they did:"
    named = "" if default else f" {shlex.quote(str(directory.config))}"
    yield f"  {sudo}{program} suggest{named} --days 3 > normal.json        (to be read, and put there)"
