#!/usr/bin/env python3
"""Provision AWS IoT things that report to Device Defender, from a list of their names in things.txt."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # an isolated Python (-I) does not do it
from defender_start import begin  # noqa: E402 - found there

if __name__ == "__main__":
    begin(__file__, oldest=(3, 10))  # an older Python gets an old CDK without a word

from infrastructure.errors import DeployError  # noqa: E402 - what follows needs this Python
from infrastructure.surroundings import check_surroundings, missing_packages  # noqa: E402

if not missing_packages():
    from botocore.exceptions import BotoCoreError, ClientError

    from infrastructure.account import open_account
    from infrastructure.claim import provisioned_things, read_claim_asked, refuse_lost_serials
    from infrastructure.claim_handover import hand_over_claim, show_claim_handover
    from infrastructure.claim_summary import show_left
    from infrastructure.claimed import refuse_few
    from infrastructure.cloudwatch import device_config_for, refuse_lost_logs
    from infrastructure.destruction import destroy, find_strangers
    from infrastructure.engine import FLINK, read_engine_wish
    from infrastructure.fleet import Fleet
    from infrastructure.greengrass import read_asked
    from infrastructure.handover import hand_over
    from infrastructure.instructions import show_handover
    from infrastructure.keys import KeyStore
    from infrastructure.names import DEFAULT_PREFIX, Names
    from infrastructure.plan import find_rotated, refuse_mass_deletion
    from infrastructure.plans import Wishes, make_plans
    from infrastructure.refusals import explain
    from infrastructure.rollout import Rollout
    from infrastructure.rotation import ask
    from infrastructure.screen import Screen
    from infrastructure.sources import read_wanted
    from infrastructure.summary import show_account, show_destruction, show_plans
    from infrastructure.underway import read_idle

CONFIGS, COMPONENT, APPLICATION = HERE / "configs", HERE / "dist" / "greengrass", HERE / "dist" / "flink"
ROOTS = HERE / "defender_publisher" / "roots" / "amazon-root-ca.pem"
DONE, FAILED = 0, 1
EMAIL_ADDRESS = re.compile(r"[^\s@{}\[\]]+@[^\s@{}\[\]]+")  # and none of what CloudFormation or aws_cdk would look up


def main(argv: list[str] | None = None) -> int:
    """Plan, show, apply; return the exit status: 0 if everything is up to date, else 1."""
    options = read_arguments(argv)
    try:
        check_surroundings(sys.executable, sys.prefix != sys.base_prefix)
        return run(options)
    except DeployError as error:
        return fail(error)
    except KeyboardInterrupt:
        fail("interrupted; AWS finishes what it has begun, and the next run waits for that and continues")
        sys.stdout.flush()
        os._exit(FAILED)  # or Python waits for the threads that watch what AWS does
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return FAILED


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    return new_parser().parse_args(argv)


def new_parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    status = "Exit status: 0 everything is up to date, 1 not everything."
    parser = argparse.ArgumentParser(prog="deploy.py", description=__doc__, epilog=status)
    add = parser.add_argument
    add("--plan", action="store_true", help="show what would be done, and change nothing")
    add("--yes", action="store_true", help="agree to the plan beforehand, deletions within --delete-at-most included")
    add(
        "--delete-at-most",
        metavar="N",
        type=number,
        help="things that may go (default with --yes: a tenth, at least 1)",
    )
    add("--things", metavar="FILE", type=Path, help="a name a line (default: things.local.txt, or else things.txt)")
    add("--region", help="default: AWS_REGION, AWS_DEFAULT_REGION, or the profile's")
    add("--profile", help="of ~/.aws/config (default: AWS_PROFILE)")
    add("--output", metavar="DIR", type=Path, default="fleet", help="for keys and bundles (default: %(default)s)")
    add("--prefix", help="for a second fleet in the account (default: amazon-defender-publisher)")
    add("--no-detect", action="store_true", help="leave custom metrics and security profiles as they are")
    add("--alert-email", metavar="ADDRESS", type=email_address, help="email alarms to ADDRESS; '' turns this off")
    says = "let devices send metrics and logs to CloudWatch, as their configuration says; --no-cloudwatch ends that"
    add("--cloudwatch", action=argparse.BooleanOptionalAction, help=says)
    says = "deploy the component of `make component` to these Greengrass cores, by a thing group of the fleet's own"
    add("--greengrass", metavar="CORE", nargs="+", default=[], help=says)
    add("--greengrass-group", metavar="GROUP", help="deploy it to this thing group instead")
    add("--no-greengrass", action="store_true", help="delete component, deployment and thing group of the cores")
    says = "let the devices whose serials are listed provision themselves with one claim, which is made (claim.tar)"
    add("--claim", action="store_true", help=says)
    add("--serials", metavar="FILE", type=Path, help="with --claim: a serial a line, or a table with a column `serial`")
    add(
        "--end-claims", action="store_true", help="delete the claim's certificate: no device provisions itself any more"
    )
    says = "make new keys and certificates for these things; ask those that provisioned themselves to do it"
    add("--rotate", metavar="THING", nargs="+", default=[], help=says)
    says = "evaluate reports on Managed Service for Apache Flink, by `make flink-application`; aws ends that"
    add("--detect-engine", choices=("flink", "aws"), help=says)
    add("--flink-mode", choices=("process", "thread"), help="how Flink runs Python (default: process)")
    says = "how many things it is to be sized for (default: those that are listed)"
    add("--flink-things", metavar="N", type=number, help=says)
    add("--destroy", action="store_true", help="delete the whole fleet")
    return parser


def number(text: str) -> int:
    """Return how many things there may be; raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def email_address(text: str) -> str:
    """Return what can be an e-mail address, or "" for none; raises ArgumentTypeError."""
    if text and not EMAIL_ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"must be an address such as ops@example.com, got {text!r}")
    return text


def run(options: argparse.Namespace) -> int:
    """Deploy or destroy a fleet; what AWS refuses is said in a sentence."""
    names = Names(options.prefix or DEFAULT_PREFIX)
    try:
        return destroy_fleet(options, names) if options.destroy else deploy_fleet(options, names)
    except (BotoCoreError, ClientError) as error:
        raise explain(error) from error


def deploy_fleet(options: argparse.Namespace, names: Names) -> int:
    """Provision the account from the list of things and the security profiles; return the exit status."""
    wishes = read_wishes(options)
    empty = wishes.greengrass is not None or wishes.claim is not None or bool(wishes.rotate)  # of others only
    needs_profiles = wishes.detect or wishes.engine.engine == FLINK
    wanted = read_wanted(options.things, CONFIGS, detect=needs_profiles, may_be_empty=empty)
    fleet = open_fleet(options, names)
    fleet.screen.say(f"things    {len(wanted.things)} in {wanted.source}\n")
    fleet, registry = read_idle(fleet)

    plans = make_plans(fleet, registry, wanted, wishes)
    show_plans(plans, fleet, wanted)
    if options.yes or options.delete_at_most is not None:
        refuse_mass_deletion(plans.things, fleet.deployed, options.delete_at_most)
        refuse_lost_logs(plans.cloudwatch, plans.things.gone, options.delete_at_most)
        refuse_lost_serials(plans.claim, options.delete_at_most)
    if options.plan:
        return DONE
    problems, before, store = plans.problems, fleet.deployed, KeyStore(options.output)
    if plans.changes:
        agree(options, fleet.screen, "Do this?")
        with fleet.screen.bars():
            rollout = Rollout(fleet, store)
            parts = (plans.cloudwatch, plans.greengrass, plans.claim, plans.engine)
            problems += rollout.run(plans.things, plans.detect, plans.joining, *parts)
            for thing in ask(fleet.account, [wish.thing for wish in plans.rotating]):
                fleet.screen.say(f"{thing} is asked to rotate by itself; --plan --rotate {thing} shows whether it has")
        with telling(problems):
            fleet = fleet.read()
    elif plans.detect is not None and plans.detect.problem is not None:
        problems.append(plans.detect.problem)
    with telling(problems), fleet.screen.bars():
        device_config = device_config_for(fleet, wanted, plans.cloudwatch)
        handover = hand_over(fleet, store, wanted.things, device_config, ROOTS)
        claim = hand_over_claim(fleet, store, device_config, ROOTS)
    rotated = find_rotated(plans.things, before, fleet.deployed)
    show_handover(fleet.screen, handover, rotated, cloudwatch=plans.things.cloudwatch)
    show_claim_handover(fleet.screen, claim)
    return end(fleet.screen, [*problems, *handover.problems])


def read_wishes(options: argparse.Namespace) -> Wishes:
    """Return what the options ask for besides what is in the files."""
    asked = read_asked(options.greengrass, options.greengrass_group, options.no_greengrass)
    email = options.alert_email
    engine = read_engine_wish(options.detect_engine, options.flink_mode, options.flink_things, email)
    rotate = tuple(options.rotate)
    claim = read_claim_asked(options.claim, options.serials, options.end_claims)
    detect, cloudwatch = not options.no_detect, options.cloudwatch
    return Wishes(rotate, detect, email, cloudwatch, asked, COMPONENT, claim, engine, APPLICATION)


def destroy_fleet(options: argparse.Namespace, names: Names) -> int:
    """Delete all that is deployed of a fleet; return the exit status."""
    fleet, registry = read_idle(open_fleet(options, names))
    strangers, own = find_strangers(fleet), sorted(provisioned_things(fleet, registry))
    show_destruction(fleet, strangers)
    show_left(fleet.screen, own, deleted=options.delete_at_most is not None)
    refuse_few(own, options.delete_at_most)
    if options.plan or not fleet.deployed.stacks:
        return DONE
    agree(options, fleet.screen, "Delete all of this?")
    with fleet.screen.bars():
        problems = destroy(fleet, strangers, provisioned=own if options.delete_at_most is not None else ())
    fleet.screen.say(f"Keys and bundles in {options.output} are of no further use; nothing there was touched.")
    return end(fleet.screen, problems)


def open_fleet(options: argparse.Namespace, names: Names) -> Fleet:
    """Return the fleet in its account, of which nothing is read yet, and show where that is."""
    fleet = Fleet(open_account(options.profile, options.region), names, Screen())
    show_account(fleet)
    return fleet


def agree(options: argparse.Namespace, screen: Screen, question: str) -> None:
    """Go on only if the deployer agrees."""
    if not options.yes and not screen.ask(question):
        raise DeployError("nothing was changed")


@contextmanager
def telling(problems: Sequence[object]) -> Iterator[None]:
    """Say what went wrong before, too, if something ends it all."""
    try:
        yield
    except Exception:
        for problem in problems:
            fail(problem)
        raise


def end(screen: Screen, problems: Sequence[object]) -> int:
    """Say what is not up to date; return the exit status."""
    for problem in dict.fromkeys(map(str, problems)):  # the same may have been met twice
        fail(problem)
    if not problems:
        screen.say("Everything is up to date.")
    return FAILED if problems else DONE


def fail(message: object) -> int:
    """Say what is wrong; return the exit status for it."""
    print(f"deploy.py: {message}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
