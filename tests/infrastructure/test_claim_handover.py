"""claim.tar is written where the claim's key is, removed once its certificate is out of force, and said otherwise."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk", "cryptography")

from infrastructure import claim_handover  # noqa: E402
from infrastructure.claim_handover import ClaimHandover, hand_over_claim, show_claim_handover  # noqa: E402
from infrastructure.deployed import Deployed  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.keys import KeyStore  # noqa: E402
from tests.fakes.fake_account import make_screen  # noqa: E402
from tests.infrastructure.claims import ClaimIot, claim_fleet, claim_stack  # noqa: E402
from tests.infrastructure.deployer import issue  # noqa: E402

ROOTS = Path(__file__).resolve().parent.parent.parent / "defender_publisher" / "roots" / "amazon-root-ca.pem"


class Iot(ClaimIot):
    """AWS IoT with a claim's certificate that was truly issued."""

    def __init__(self, pem: str, certificate_id: str) -> None:
        super().__init__()
        self.certificates, self.pem = {certificate_id: "ACTIVE"}, pem

    def describe_certificate(self, certificateId: str) -> dict[str, Any]:  # noqa: N803
        super().describe_certificate(certificateId)
        return {"certificateDescription": {"status": "ACTIVE", "certificatePem": self.pem}}


class Deployer:
    """A machine on which the claim's key was made, and the fleet that it was deployed to."""

    def __init__(self, directory: Path) -> None:
        self.store = KeyStore(directory / "fleet")
        request = self.store.renew("claim.d")
        issued = issue(request)
        self.iot = Iot(issued.pem, issued.certificate_id)
        stack = claim_stack(request).stacks["lab-claim"]
        stack = replace(stack, outputs={"ClaimCertificate": issued.certificate_id})
        self.deployed = Deployed({"lab-claim": stack})
        self.tar = directory / "fleet" / "claim.tar"

    def hand_over(
        self, deployed: Deployed | None = None, store: KeyStore | None = None, roots: Path = ROOTS
    ) -> ClaimHandover:
        fleet = claim_fleet(self.deployed if deployed is None else deployed, self.iot)
        return hand_over_claim(fleet, store or self.store, {"agent": {"publish_interval": 600}}, roots)


@pytest.fixture
def deployer(tmp_path: Path) -> Deployer:
    return Deployer(tmp_path)


def test_the_bundle_is_written_once_with_the_claim_and_without_a_name(deployer: Deployer) -> None:
    assert ClaimHandover(deployer.tar) == deployer.hand_over()
    with tarfile.open(deployer.tar) as tar:
        files = {each.name: (tar.extractfile(each) or io.BytesIO()).read() for each in tar}
    assert deployer.iot.pem.encode() == files["claim-certificate.pem"]
    agent = json.loads(files["amazon-defender-publisher.json"])["agent"]
    assert (600, "lab", False) == (agent["publish_interval"], agent["provisioning"]["template"], "thing_name" in agent)
    deployer.iot.calls.clear()
    assert ClaimHandover() == deployer.hand_over(), "it is there like that"
    assert [] == deployer.iot.calls


def test_where_no_device_provisions_itself_there_is_none(deployer: Deployer) -> None:
    assert ClaimHandover() == deployer.hand_over(Deployed())
    assert not deployer.tar.exists()


def test_a_bundle_whose_claim_was_ended_is_removed_and_said_once(deployer: Deployer) -> None:
    deployer.hand_over()
    assert ClaimHandover(removed=deployer.tar) == deployer.hand_over(claim_stack(None))
    assert not deployer.tar.exists()
    assert ClaimHandover() == deployer.hand_over(claim_stack(None))


def test_a_key_that_is_on_another_machine_makes_no_bundle(deployer: Deployer, tmp_path: Path) -> None:
    elsewhere = KeyStore(tmp_path / "elsewhere")
    assert ClaimHandover(elsewhere=True) == deployer.hand_over(store=elsewhere)
    elsewhere.renew("claim.d")  # and neither does another key of the name
    assert ClaimHandover(elsewhere=True) == deployer.hand_over(store=elsewhere)
    assert not (tmp_path / "elsewhere" / "claim.tar").exists()


def test_a_certificate_that_was_deleted_by_hand_is_drift_and_makes_no_bundle(deployer: Deployer) -> None:
    deployer.iot.certificates.clear()
    assert ClaimHandover() == deployer.hand_over()


def test_roots_that_cannot_be_read_are_named(deployer: Deployer, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="gone.pem cannot be read: No such file or directory"):
        deployer.hand_over(roots=tmp_path / "gone.pem")


def said(handover: ClaimHandover) -> list[str]:
    screen, printed = make_screen()
    show_claim_handover(screen, handover)
    return printed.getvalue().splitlines()


def test_what_to_do_with_the_bundle_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [] == said(ClaimHandover())
    found = said(ClaimHandover(Path("fleet/claim.tar")))
    assert "  sudo bash install-claim.bash" in found
    assert "  sudo installers/install-rpi.bash --claim claim.tar" in found
    assert "fleet/claim.tar holds the claim's private key: keep it as such, and end it with --end-claims." == found[-1]
    monkeypatch.setattr(claim_handover, "find_spec", lambda name: None)  # as where deploy.py is without a checkout
    assert "  sudo bash install-claim.bash" not in said(ClaimHandover(Path("fleet/claim.tar")))


def test_a_bundle_that_is_not_there_is_said_with_why() -> None:
    assert ["no claim.tar: its key is on another machine; --end-claims, then --claim makes a new one here"] == said(
        ClaimHandover(elsewhere=True)
    )
    assert ["fleet/claim.tar was removed: its certificate is no longer in force"] == said(
        ClaimHandover(removed=Path("fleet/claim.tar"))
    )
