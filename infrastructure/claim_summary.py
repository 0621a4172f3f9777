"""What a deployer is shown of the claim: who may provision itself, who has, who was refused, what it allows."""

from __future__ import annotations

from collections.abc import Sequence

from defender_daemon.dates import date_text
from device_defender.wording import shown
from infrastructure.claim import ClaimPlan
from infrastructure.fleet import Fleet
from infrastructure.plan import CREATE, RECREATE, UPDATE
from infrastructure.rotation import Wish
from infrastructure.screen import Screen
from infrastructure.serial_table import Refusal

MOST = 3  # refusals that are shown, each with a line of its own
MOST_NOTES = 10
WILL = {CREATE: "is created", UPDATE: "is updated", RECREATE: "failed to create earlier; it will be created again"}


def show_claim(fleet: Fleet, plan: ClaimPlan | None, most: int = MOST) -> None:
    """Show what happens to the claim, and how far the roll-out is."""
    if plan is None:
        return
    screen = fleet.screen
    _show_serials(screen, plan)
    if plan.stack.change in (CREATE, RECREATE):
        _show_what_it_allows(fleet)
    if plan.new_certificate:
        screen.say(
            "claim     one certificate for all devices that have none of their own is made; its key is made here"
        )
    if plan.ends:
        screen.say("claim     its certificate is DELETED: no device can provision itself any more, until --claim makes")
        screen.say("          another one; devices that have certificates of their own keep and rotate them")
    elif not plan.in_force:
        screen.say(
            "claim     no certificate is in force (--end-claims): no device can provision itself; --claim makes one"
        )
    _show_progress(screen, plan, most)
    if plan.stack.changes:
        screen.say(f"stack     {plan.stack.name} {WILL[plan.stack.change]}")
    for note in plan.notes[:MOST_NOTES]:
        screen.say(f"note      {note}")
    if len(plan.notes) > MOST_NOTES:
        screen.say(f"note      and {len(plan.notes) - MOST_NOTES} more of this kind")
    for each in plan.drift:
        screen.say(f"drift     {each}")


def show_wishes(screen: Screen, wishes: Sequence[Wish]) -> None:
    """Show which things are asked to rotate by themselves."""
    names = [wish.thing for wish in wishes]
    screen.say_names("rotate", names, "asked to do it by themselves, by their shadow; no device is cut off")
    for wish in wishes:
        if wish.asked:
            screen.say(f"          {wish}")


def show_left(screen: Screen, things: Sequence[str], deleted: bool) -> None:
    """Show what becomes of things that provisioned themselves when their fleet is destroyed."""
    if deleted:
        screen.say_names("things", things, "they provisioned themselves; deleted with their certificates", True)
        return
    why = f"they provisioned themselves; they lose the policy, and --delete-at-most {len(things)} deletes them as well"
    screen.say_names("left", things, why)


def _show_serials(screen: Screen, plan: ClaimPlan) -> None:
    asked, difference = plan.asked, plan.difference
    if asked is not None and asked.serials is not None:
        again = len([each for each in difference.changed if each.again])
        parts = [(len(difference.new), "new"), (len(difference.changed), "changed"), (again, "listed again")]
        parts.append((len(difference.gone), "no longer listed"))
        says = ", ".join(f"{count} {what}" for count, what in parts if count)
        screen.say(f"serials   {len(asked.serials.serials)} in {asked.serials.source}" + (f": {says}" if says else ""))
        gone = [each.serial for each in difference.gone]
        screen.say_names("gone", gone, "no longer listed: they cannot provision themselves; what did stays a thing")
    else:
        screen.say(f"serials   {len(plan.table.listed)}")


def _show_what_it_allows(fleet: Fleet) -> None:
    names, say = fleet.names, fleet.screen.say
    say(
        f"claim     a device that has it can connect as claim-* and register once by the template {names.template}, and"
    )
    say(f"          nothing else: a function in AWS Lambda checks its serial; the thing joins the group {names.group}")
    say(f"rotation  such a device can replace its certificate by the template {names.rotation_template}; the old one")
    say("          is made INACTIVE once the device has confirmed the new one over a connection with it")


def _show_progress(screen: Screen, plan: ClaimPlan, most: int) -> None:
    done = [each.thing for each in plan.provisioned]
    if plan.table.listed:
        screen.say(
            f"progress  {len(done)} of {len(plan.table.listed)} listed devices have provisioned themselves"
            + _last(done)
        )
    if plan.table.refused:
        screen.say(f"refused   {plan.table.refused} times; the last:")
        for refusal in plan.table.refusals[:most]:
            screen.say(f"            {_sentence(refusal)}")


def _last(done: Sequence[str], most: int = 5) -> str:
    return f"; the last: {', '.join(done[:most])}" if done else ""


def _sentence(refusal: Refusal) -> str:
    return f"{date_text(refusal.at)} serial {shown(refusal.serial)} as {shown(refusal.thing)}: {refusal.why}"
