#!/usr/bin/env python3
"""Provision AWS IoT things that report to Device Defender: what things.txt lists is what there is afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
if __name__ == "__main__" and (VENV / "bin" / "python").exists() and Path(sys.prefix).resolve() != VENV.resolve():
    os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), *sys.argv])
if sys.version_info < (3, 10):  # an older Python gets an old CDK without a word
    sys.exit(f"deploy.py: Python 3.10 or later is needed, this is {sys.version.split()[0]} ({sys.executable})")

from infrastructure.errors import DeployError  # noqa: E402 - what follows needs this Python
from infrastructure.surroundings import check_surroundings, missing_packages  # noqa: E402

if not missing_packages():
    from botocore.exceptions import BotoCoreError, ClientError

    from infrastructure.account import Account, open_account
    from infrastructure.bundles import read_device_config, unreported
    from infrastructure.deployed import Deployed, read_deployed
    from infrastructure.destruction import destroy, find_strangers
    from infrastructure.detect import plan_detect
    from infrastructure.drift import find_drift, refuse_missing
    from infrastructure.handover import hand_over
    from infrastructure.keys import KeyStore
    from infrastructure.names import DEFAULT_PREFIX, Names
    from infrastructure.plan import find_rotated, make_plan
    from infrastructure.profiles import custom_metrics, read_profiles
    from infrastructure.refusals import explain
    from infrastructure.registry import Registry, read_registry, refuse_foreign_things
    from infrastructure.rollout import Rollout
    from infrastructure.screen import Screen
    from infrastructure.things import read_things

PROFILES = HERE / "configs" / "security-profiles"
DEVICE_CONFIG = HERE / "configs" / "amazon-defender-publisher-fleet.json"
ROOTS = HERE / "defender_publisher" / "roots" / "amazon-root-ca.pem"
DONE, FAILED = 0, 1


def main(argv: list[str] | None = None) -> int:
    """Plan, show, apply; return the exit status: 0 if all is as it is wished, else 1."""
    options = read_arguments(argv)
    os.environ.setdefault("CDK_VALIDATION", "false")  # CDK's own check of templates takes 1.8 s; our tests make it
    try:
        check_surroundings(sys.executable)
        return run(options)
    except DeployError as error:
        return fail(error)
    except KeyboardInterrupt:
        fail("interrupted; AWS ends by itself what it has begun, and running this again goes on from there")
        sys.stdout.flush()
        os._exit(FAILED)  # or Python waits for the threads that watch what AWS does
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return FAILED


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    status = "Exit status: 0 done, 1 not all of it."
    parser = argparse.ArgumentParser(prog="deploy.py", description=__doc__, epilog=status)
    add = parser.add_argument
    add("--plan", action="store_true", help="show what would be done, and change nothing")
    add("--yes", action="store_true", help="agree to the plan beforehand, and to what it deletes as well")
    add("--things", metavar="FILE", type=Path, default="things.txt", help="a thing name a line (default: %(default)s)")
    add("--region", help="default: AWS_REGION, AWS_DEFAULT_REGION, or the profile's")
    add("--profile", help="of ~/.aws/config (default: AWS_PROFILE)")
    add("--output", metavar="DIR", type=Path, default="fleet", help="for keys and bundles (default: %(default)s)")
    add("--prefix", help="for a second fleet in the account (default: amazon-defender-publisher)")
    add("--no-detect", action="store_true", help="leave custom metrics and security profiles as they are")
    add("--alert-email", metavar="ADDRESS", help="mail alarms there from now on; '' for to nobody")
    add("--rotate", metavar="THING", nargs="+", default=[], help="make new keys and certificates for these things")
    add("--destroy", action="store_true", help="delete the whole fleet")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> int:
    """Deploy or destroy a fleet; what AWS refuses is said in a sentence."""
    names = Names(options.prefix or DEFAULT_PREFIX)
    screen = Screen()
    try:
        if options.destroy:
            return destroy_fleet(options, names, screen)
        return deploy_fleet(options, names, screen)
    except (BotoCoreError, ClientError) as error:
        raise explain(error) from error


def deploy_fleet(options: argparse.Namespace, names: Names, screen: Screen) -> int:
    """Make the account as things.txt and the security profiles say; return the exit status."""
    things = read_things(options.things)
    device_config = read_device_config(DEVICE_CONFIG)
    profiles = () if options.no_detect else read_profiles(PROFILES)
    metrics = custom_metrics(profiles, device_config)

    account = open_account(options.profile, options.region)
    screen.show_account(account, names.prefix)
    deployed, registry = read_account(account, names)
    plan = make_plan(names, things, deployed, options.rotate)
    refuse_missing(names, deployed, registry)
    refuse_foreign_things(account.iot, plan.new)
    detect = None
    if not options.no_detect:
        detect = plan_detect(account, names, deployed, profiles, metrics, options.alert_email)
    drift = find_drift(account, names, [deployed.things[thing] for thing in plan.kept], registry)
    deleted = {each.thing for each in drift if not each.rotation_mends}
    joining = [thing for thing in things if thing not in registry.members and thing not in deleted]

    screen.show_plan(plan, joining, drift)
    screen.show_detect(detect, unreported(metrics, device_config))
    problems: list[object] = [each for each in drift if each.thing not in plan.rotated or not each.rotation_mends]
    if options.plan:
        return DONE
    before = deployed
    if plan.changes or joining or (detect is not None and detect.changes):
        agree(options, screen, "Do this?")
        store = KeyStore(options.output)
        with screen.bars():
            problems += Rollout(account, names, deployed, store, screen).run(plan, detect, joining)
        with telling(problems):
            deployed = read_deployed(account, names, also_busy=True)
    elif detect is not None and detect.problem is not None:
        problems.append(detect.problem)
    with telling(problems), screen.bars():
        handover = hand_over(account, KeyStore(options.output), deployed, things, device_config, ROOTS, screen)
    screen.show_bundles(handover.written, handover.elsewhere, find_rotated(plan, before, deployed))
    return end(screen, [*problems, *handover.problems])


def destroy_fleet(options: argparse.Namespace, names: Names, screen: Screen) -> int:
    """Delete all that is deployed of a fleet; return the exit status."""
    account = open_account(options.profile, options.region)
    screen.show_account(account, names.prefix)
    deployed = read_deployed(account, names)
    strangers = find_strangers(account, names, deployed)
    screen.show_destruction(deployed, strangers)
    if options.plan or not deployed.stacks:
        return DONE
    agree(options, screen, "Delete all of this?")
    with screen.bars():
        problems = destroy(account, names, deployed, strangers, screen)
    screen.say(f"Keys and bundles in {options.output} are of no use any more; nothing there was touched.")
    return end(screen, problems)


def read_account(account: Account, names: Names) -> tuple[Deployed, Registry]:
    """Return what is deployed, and what AWS IoT itself has of it."""
    with ThreadPoolExecutor() as pool:
        registry = pool.submit(read_registry, account.iot, names)
        return read_deployed(account, names), registry.result()


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
    """Say what is not as it is wished; return the exit status."""
    for problem in dict.fromkeys(map(str, problems)):  # the same may have been met twice
        fail(problem)
    if not problems:
        screen.say("All is as wished.")
    return FAILED if problems else DONE


def fail(message: object) -> int:
    """Say what is wrong; return the exit status for it."""
    print(f"deploy.py: {message}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
