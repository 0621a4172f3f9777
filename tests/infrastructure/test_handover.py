from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "cryptography", "rich")

from infrastructure import handover  # noqa: E402
from infrastructure.deployed import Deployed, DeployedThing  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.handover import Handover, hand_over  # noqa: E402
from infrastructure.keys import KeyStore  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from tests.fakes.fake_account import FakeIot, make_account, make_screen  # noqa: E402
from tests.infrastructure.deployer import Issued, acting_as, issue  # noqa: E402

ROOTS = Path(__file__).resolve().parent.parent.parent / "defender_publisher" / "roots" / "amazon-root-ca.pem"


class Iot(FakeIot):
    """AWS IoT with certificates that were truly issued."""

    def __init__(self, issued: Mapping[str, Issued]) -> None:
        super().__init__()
        self.certificates = {each.certificate_id: "ACTIVE" for each in issued.values()}
        self.pems = {each.certificate_id: each.pem for each in issued.values()}

    def describe_certificate(self, certificateId: str) -> dict[str, dict[str, str]]:  # noqa: N803
        super().describe_certificate(certificateId)
        return {"certificateDescription": {"certificatePem": self.pems[certificateId]}}


class Machine:
    """Things that are deployed from this machine."""

    def __init__(self, directory: Path, *things: str) -> None:
        self.store = KeyStore(directory)
        requests = {thing: self.store.request(thing) for thing in things}
        self.issued = {thing: issue(request) for thing, request in requests.items()}
        self.iot = Iot(self.issued)
        certificates = {thing: each.certificate_id for thing, each in self.issued.items()}
        deployed = {thing: DeployedThing(thing, 1, requests[thing], certificates[thing]) for thing in things}
        self.deployed = Deployed({}, deployed)

    def hand_over(self, store: KeyStore | None = None, wanted: tuple[str, ...] = ("a", "b")) -> Handover:
        screen, self.printed = make_screen()
        fleet = Fleet(make_account(iot=self.iot), Names(), screen, self.deployed)
        return hand_over(fleet, store or self.store, wanted, {"agent": {}}, ROOTS)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(handover, "FETCHES", 1000.0)
    return Machine(tmp_path / "fleet", "a", "b")


def test_each_certificate_is_fetched_put_beside_its_key_and_bundled(fleet: Machine) -> None:
    bundles = tuple(fleet.store.directory / f"{thing}.tar" for thing in "ab")
    assert Handover(bundles, ()) == fleet.hand_over()
    assert all(fleet.store.settled(thing, each.certificate_id) for thing, each in fleet.issued.items())
    assert [
        "certificates: a fetched (1 of 2)",
        "certificates: b fetched (2 of 2)",
    ] == fleet.printed.getvalue().splitlines()


def test_a_second_time_nothing_is_fetched_and_no_bundle_is_new(fleet: Machine) -> None:
    fleet.hand_over()
    fleet.iot.calls.clear()
    assert Handover((), ()) == fleet.hand_over()
    assert [] == fleet.iot.calls


def test_only_what_is_listed_and_deployed_is_handed_over(fleet: Machine) -> None:
    assert (fleet.store.directory / "b.tar",) == fleet.hand_over(wanted=("b", "never-deployed")).written


def test_a_thing_whose_key_was_never_here_is_not_even_asked_for(fleet: Machine, tmp_path: Path) -> None:
    assert Handover((), ("a", "b")) == fleet.hand_over(KeyStore(tmp_path / "elsewhere"))
    assert [] == fleet.iot.calls


def test_a_key_that_is_another_one_is_elsewhere(fleet: Machine, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "elsewhere")
    store.request("a")
    assert Handover((), ("a", "b")) == fleet.hand_over(store)
    assert "a has its key on another machine (1 of 1)" in fleet.printed.getvalue()


def test_a_certificate_that_was_deleted_by_hand_holds_up_no_other_thing(fleet: Machine) -> None:
    del fleet.iot.certificates[fleet.issued["a"].certificate_id]
    done = fleet.hand_over()
    assert (fleet.store.directory / "b.tar",) == done.written
    assert ["a: its certificate was deleted; --rotate makes a new one"] == [str(each) for each in done.problems]


@pytest.mark.parametrize("settled", [False, True])
def test_a_key_that_is_no_good_holds_up_no_other_thing(fleet: Machine, settled: bool) -> None:
    if settled:
        fleet.hand_over(wanted=("a",))
    directory = fleet.store.directory / "a"
    for path in directory.glob("private.key*"):
        path.write_text("no key")
    done = fleet.hand_over()
    assert (fleet.store.directory / "b.tar",) == done.written
    (problem,) = done.problems
    assert "must be a private key in PEM" in str(problem)
    assert () == done.elsewhere


def test_keys_that_may_not_be_looked_at_are_not_taken_for_keys_elsewhere(unprivileged: int) -> None:
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # where pytest's own directories let nobody else in
        fleet = Machine(Path(directory, "closed"), "a", "b")
        with acting_as(unprivileged):
            done = fleet.hand_over()
    assert ((), ()) == (done.written, done.elsewhere)
    assert ["closed/a", "closed/b"] == [str(each).partition(" cannot be read")[0][-8:] for each in done.problems]


def test_a_bundle_that_cannot_be_written_holds_up_no_other(fleet: Machine) -> None:
    (fleet.store.directory / "a.tar").symlink_to("anywhere")
    done = fleet.hand_over()
    assert (fleet.store.directory / "b.tar",) == done.written
    (problem,) = done.problems
    assert "a.tar is a symbolic link" in str(problem)


def test_a_thing_whose_certificate_is_not_told_is_left_out(fleet: Machine) -> None:
    things = {**fleet.deployed.things, "a": DeployedThing("a", 1, "csr", "")}
    fleet.deployed = Deployed({}, things)
    assert Handover((fleet.store.directory / "b.tar",), ()) == fleet.hand_over()
