"""The profiles that a Detect of one's own begins with: those of configs/security-profiles that alarm at no machine.

They are here besides, because an installed package has no configs; a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from device_defender.metrics import DEVICE_SIDE

NETWORK_METRICS: dict[str, Any] = {
    "securityProfileName": "network-metrics",
    "securityProfileDescription": "Keeps what devices report of their network, so that one can look up what is normal "
    "before a profile says so. It raises no alarm.",
    "additionalMetricsToRetainV2": [{"metric": metric} for metric in sorted(DEVICE_SIDE)],
}
SILENCE: dict[str, Any] = {
    "securityProfileName": "silence",
    "securityProfileDescription": "A device reports every five minutes; one that has not been heard for more than 15 "
    "minutes is in alarm until it reports again.",
    "behaviors": [
        {
            "name": "reports-regularly",
            "metric": "aws:disconnect-duration",
            "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 15}},
        }
    ],
}
STARTING_PROFILES = (NETWORK_METRICS, SILENCE)
