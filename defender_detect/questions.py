"""The questions: what the program answers once and ends, rather than to answer reports until a signal."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from defender_detect.attachments import read_rules
from defender_detect.checking import check
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.errors import AuthorityError, DetectError, all_of
from defender_detect.several import One, each_of, open_all, show_problems
from defender_detect.store.several import AnyReader

if TYPE_CHECKING:
    from defender_detect.health import Health

DONE, FAILED = 0, 1
USUAL_CONFIG = Path("/etc/amazon-defender-detect/amazon-defender-detect.json")  # what `init` makes


def answer(options: argparse.Namespace) -> int:
    """Print the answer to the question that the options ask; return the exit status."""
    path = options.config = config_of(options)
    if options.doctor:
        return examine(path, options)
    if options.support_bundle:
        return write_bundle(options.support_bundle, path, options)
    if options.status:
        return print_status(path, options)
    config = read_config(path, vars(options))
    if options.question:
        return print_stored(options, each_of(path, vars(options)))
    if options.check_config:
        # Profiles can be checked alone, without a broker.
        print(*check(config, whole=options.config is not None), sep="\n")
    else:
        replay(options.replay, config)
    return DONE


def config_of(options: argparse.Namespace) -> Path | None:
    """Return the configuration that was named, or else the usual one, for what asks about a Detect that runs."""
    asks = options.question or options.doctor or options.status or options.support_bundle
    if options.config is None and options.state_directory is None and asks and USUAL_CONFIG.exists():
        return USUAL_CONFIG
    return options.config  # type: ignore[no-any-return]


def print_status(path: Path | None, options: argparse.Namespace) -> int:
    """Print the health of the Detect that runs, or of each of several; return the exit status of the worst."""
    from defender_daemon.health import EXIT_HEALTH
    from defender_daemon.text import printable_lines
    from defender_detect import health

    detects = each_of(path, vars(options))
    found, problems = examine_all(detects)
    if options.json:
        print(*health.as_json([its for _, its in found], len(detects)), sep="\n")
    else:
        for each, its in found:
            if each.name:
                print(f"{each.name}:")
            print(*map(printable_lines, health.describe(its, each.config)), sep="\n")
    show_problems(problems, len(detects))
    return max(FAILED if problems else DONE, *(EXIT_HEALTH[its.health] for _, its in found))


def examine_all(detects: Sequence[One]) -> tuple[list[tuple[One, Health]], list[Exception]]:
    """Return the health of those Detects of which it can be known, and why that of others cannot.

    Raises all of these errors, as one, where it is known of none.
    """
    from defender_daemon.status import StatusError
    from defender_detect import health

    found: list[tuple[One, Health]] = []
    problems: list[Exception] = []
    for each in detects:
        try:
            found.append((each, health.examine(each.config)))
        except (DetectError, StatusError) as error:
            problems.append(error)
    if not found:
        raise all_of(problems)
    return found, problems


def examine(path: Path | None, options: argparse.Namespace) -> int:
    """Print what the doctor finds, each check when it is known or all as JSON; return whether none failed."""
    from defender_daemon import ladder
    from defender_detect import doctor

    return DONE if ladder.show(doctor.examine(doctor.Case(path, vars(options))), options.json) else FAILED


def write_bundle(bundle: Path, path: Path | None, options: argparse.Namespace) -> int:
    """Write the support bundle and print what is in it."""
    from defender_detect import support
    from defender_detect.doctor import Case

    for line in support.write(bundle, Case(path, vars(options))):
        print(line, flush=True)
    return DONE


def replay(path: Path, config: Config) -> None:
    """Evaluate recorded reports, and print which alarms begin and end."""
    from defender_detect.ask.replay import open_recording, tell_replay
    from defender_detect.evaluate.detector import Detector
    from defender_detect.judge.topics import Topics

    rules = read_rules(config)
    if not rules.attachments:
        raise DetectError("there is nothing to evaluate reports by: --profiles is missing (detect.profiles)")
    with open_recording(path, Topics(config.agent.own_topic)) as recording:
        for line in tell_replay(Detector(rules, most_things=config.detect.most_things), recording):
            print(line)


def print_stored(options: argparse.Namespace, detects: Sequence[One]) -> int:
    """Print what one Detect keeps, or several; return the exit status, which says whether that was all of them."""
    if options.question == "suggest" and options.recorded is not None:
        print_suggestion(options, detects[0].config, options.recorded)
        return DONE
    reader, problems = open_all(detects, ", or --recorded" if options.question == "suggest" else "")
    try:
        if options.question == "suggest":
            print_suggestion(options, detects[0].config, reader)
        else:
            print_answer(options, reader, detects[0].config)
    finally:  # what is not found may be where nobody could look
        show_problems(problems, len(detects))
    return FAILED if problems else DONE


def print_answer(options: argparse.Namespace, reader: AnyReader, config: Config) -> None:
    """Print what is kept, as a table or in the shape of AWS's API."""
    from defender_detect.ask.queries import answer, as_json, as_table, things_as_json

    about = {key: getattr(options, key) for key in ("days", "thing", "metric", "active") if hasattr(options, key)}
    if options.question == "things" and options.json:
        sys.stdout.writelines(chain(things_as_json(reader), "\n"))
        return
    found = answer(reader, options.question, time.time(), **about)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # of a sparkline where there is no UTF-8
    print(f"{as_json(found)}\n" if options.json else as_table(options.question, found, width), end="")
    if options.question == "things" and not options.json and options.config is not None:
        print_what_ends_soon(options.config, config)


def print_what_ends_soon(path: Path, config: Config) -> None:
    """Print which things need another certificate before long, or were asked to renew theirs and have not yet.

    That is known where the authority is beside a configuration.
    """
    from defender_daemon.dates import moment
    from defender_detect.authority.directory import Directory
    from defender_detect.authority.record import read_record
    from defender_detect.authority.renewals import read_renewals
    from defender_detect.renewing import state_of

    directory = Directory(path.absolute().parent)
    with contextlib.suppress(AuthorityError):  # it is elsewhere, or not for whoever asks
        record, renewals = read_record(directory.record), read_renewals(state_of(config))
        from defender_detect.authority.expiry import read_waiting, soon, thing_endings

        for sentence in soon(thing_endings(directory, record, renewals), moment(time.time())):
            print(sentence)
        for sentence in read_waiting(directory, record, renewals):
            print(sentence)


def print_suggestion(options: argparse.Namespace, config: Config, source: AnyReader | Path) -> None:
    """Print a profile of what was normal, and on standard error what a person needs to know of it."""
    from defender_detect.suggest import suggest

    suggest(config, source, options.name, options.days, options.group)
