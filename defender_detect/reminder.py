"""The reminder: certificates of Detect's own that end soon are said in the log, once a day, weeks before."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from defender_daemon import certificate
from defender_daemon.rungs import DAY, remaining
from defender_detect.config import Config

log = logging.getLogger(__name__)


class Reminder:
    """Looks at certificates once a day."""

    def __init__(self, certificates: Iterable[Path]) -> None:
        self._certificates = tuple(certificates)
        self._looked: float | None = None

    def look(self, now: float) -> None:
        """Warn of each certificate that ends soon, or has ended; called as often as one likes."""
        if self._looked is not None and 0 <= now - self._looked < DAY:
            return
        self._looked = now
        for path in self._certificates:
            if sentence := ends_soon(path, now):
                log.warning("%s", sentence)


def ends_soon(path: Path, now: float) -> str:
    """Return a sentence for a certificate that ends soon, or has ended; empty for one that does not."""
    found = certificate.validity(str(path))
    if found is None or not certificate.ends_soon(*found, now):
        return ""
    if found[1] <= now:
        return f"the certificate {path} has ended; {remedy(path)}"
    return f"the certificate {path} is valid {remaining(found[1], now)}; {remedy(path)}"


def remedy(path: Path) -> str:
    """Return what renews a certificate: who issued it is known where the authority lies beside."""
    if path.name == "detect.pem":
        return f"run amazon-defender-detect renew --server --directory {path.parent}, and restart Detect"
    return "issue another one, and restart Detect"


def own_certificates(config: Config) -> list[Path]:
    """Return the files of Detect's certificate and of the authorities that it trusts."""
    authentication = config.agent.authentication
    return [Path(each) for each in (authentication.certificate, authentication.root_ca) if each is not None]
