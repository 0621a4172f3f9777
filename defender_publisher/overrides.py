"""The overrides: command-line options that stand for a key of the configuration and win over the file.

They have the short names of AWS's first Device Defender agent (agent.py), so that its users need not learn others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # `--help` does without msgspec
    from defender_daemon.config import Raw


class Override(NamedTuple):
    """An option's spellings, the configuration key it sets, and the argparse settings of its value."""

    names: tuple[str, ...]
    key: str
    value: Mapping[str, Any]


ANY_VALUE = {"nargs": "?", "const": "websocket", "metavar": "YES"}  # the first agent's option wanted one

OVERRIDES = (
    Override(("-e", "--endpoint"), "agent.authentication.endpoint", {"metavar": "HOST"}),
    Override(("--port",), "agent.authentication.port", {"metavar": "PORT", "type": int}),
    Override(("-r", "--root-ca"), "agent.authentication.root_ca", {"metavar": "FILE"}),
    Override(("-c", "--certificate"), "agent.authentication.certificate", {"metavar": "FILE"}),
    Override(("-k", "--private-key"), "agent.authentication.private_key", {"metavar": "FILE"}),
    Override(("-id", "--client-id"), "agent.client_id", {"metavar": "ID"}),
    Override(("-t", "--thing-name"), "agent.thing_name", {"metavar": "NAME"}),
    Override(("-f", "--format"), "agent.format", {"metavar": "json|cbor"}),
    Override(("-s", "--short-names"), "agent.short_names", {"action": "store_const", "const": True}),
    Override(("-w", "--use-websocket"), "agent.authentication.method", ANY_VALUE),
    Override(("-se", "--signing-region"), "agent.authentication.region", {"metavar": "REGION"}),
    Override(("-ph", "--proxy-host"), "agent.proxy.host", {"metavar": "HOST"}),
    Override(("-pp", "--proxy-port"), "agent.proxy.port", {"metavar": "PORT", "type": int}),
    Override(("-cm", "--custom-metrics"), "custom_metrics.cpu_usage", {"action": "store_const", "const": {}}),
    Override(("--allow-short-interval",), "agent.allow_short_interval", {"action": "store_const", "const": True}),
)


def overrides_of(options: Mapping[str, Any]) -> Raw:
    """Return the configuration that the options given make (None: not given), as JSON would hold it.

    `options` has the keys of OVERRIDES, and "dry_run" and "interval", whose meaning depends on one another. Where only
    a client ID is given it names the thing too, as it did for the first agent.
    """
    given = {each.key: options[each.key] for each in OVERRIDES if options[each.key] is not None}
    if options["dry_run"]:
        given["agent.dry_run"] = True
    elif options["interval"] is not None:
        given["agent.publish_interval"] = options["interval"]
    if "agent.authentication.method" in given:  # the first agent's option took a value, and any value meant yes
        given["agent.authentication.method"] = "websocket"
    if "agent.client_id" in given:
        given.setdefault("agent.thing_name", given["agent.client_id"])
    return _nested(given)


def _nested(dotted: Mapping[str, Any]) -> Raw:
    nested: Raw = {}
    for key, value in dotted.items():
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return nested
