from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from tests.infrastructure.deployer import Issued, issue, skip_without
from tests.infrastructure.interruptions import Killer

skip_without("cryptography")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.keys import KeyStore, common_name, is_for, read_key  # noqa: E402

THING = "rpi-0001"
MOST_ACCESSES = 100  # no step takes more
FILES = ("private.key", "request.csr", "certificate.pem")


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "fleet")


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


def deploy(store: KeyStore, request: str) -> Issued:
    """What a deploy does with a request, all of it."""
    issued = issue(request)
    assert store.settle(THING, issued.pem, request)
    return issued


def files_of(store: KeyStore) -> dict[str, bytes]:
    directory = store.directory / THING
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond ten bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_new_things_request_is_for_a_new_p_256_key_that_stays_here(store: KeyStore) -> None:
    request = store.request(THING)
    assert ["private.key.new", "request.csr.new"] == sorted(files_of(store))
    key = read_key(store.directory / THING / "private.key.new")
    assert key is not None
    assert "secp256r1" == key.curve.name
    assert is_for(request, key)
    assert "PRIVATE" not in request


def test_a_request_names_the_thing(store: KeyStore) -> None:
    subject = x509.load_pem_x509_csr(store.request(THING).encode()).subject
    assert [THING] == [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


@pytest.mark.parametrize("length", [1, 64, 65, 128])
def test_a_name_of_any_length_makes_a_request(store: KeyStore, length: int) -> None:
    subject = x509.load_pem_x509_csr(store.request("x" * length).encode()).subject
    (name,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert min(length, 64) == len(name.value)


def test_a_name_that_a_certificate_can_hold_is_not_cut() -> None:
    assert "x" * 64 == common_name("x" * 64)


def test_long_names_that_begin_alike_have_other_common_names() -> None:
    assert common_name("x" * 100 + "1") != common_name("x" * 100 + "2")
    assert common_name("x" * 100 + "1") == common_name("x" * 100 + "1")


def test_the_request_for_a_key_stays_the_same(store: KeyStore) -> None:
    first = store.request(THING)
    assert first == KeyStore(store.directory).request(THING)
    deploy(store, first)
    assert first == store.request(THING)


def test_a_request_that_is_lost_is_recreated_for_the_same_key(store: KeyStore) -> None:
    deploy(store, store.request(THING))
    (store.directory / THING / "request.csr").unlink()
    key = read_key(store.private_key(THING))
    assert key is not None
    assert is_for(store.request(THING), key)
    assert ["certificate.pem", "private.key", "request.csr"] == sorted(files_of(store))


def test_a_request_for_another_key_is_not_used(store: KeyStore) -> None:
    deploy(store, store.request(THING))
    other = KeyStore(store.directory.parent / "other").request(THING)
    (store.directory / THING / "request.csr").write_text(other)
    key = read_key(store.private_key(THING))
    assert key is not None
    assert is_for(store.request(THING), key)


def test_a_request_is_for_the_key_in_its_place_while_another_waits(store: KeyStore) -> None:
    request = store.request(THING)
    deploy(store, request)
    store.renew(THING)
    assert request == store.request(THING)


def test_a_key_that_others_could_read_is_closed_to_them(store: KeyStore) -> None:
    issued = deploy(store, store.request(THING))
    store.private_key(THING).chmod(0o644)
    assert store.settled(THING, issued.certificate_id)
    assert 0o600 == store.private_key(THING).stat().st_mode & 0o777


def test_settling_puts_key_request_and_certificate_in_their_places(store: KeyStore) -> None:
    request = store.request(THING)
    key = files_of(store)["private.key.new"]
    issued = deploy(store, request)
    expected = {"private.key": key, "request.csr": request.encode(), "certificate.pem": issued.pem.encode()}
    assert expected == files_of(store)
    assert store.settled(THING, issued.certificate_id)


def test_settling_again_changes_nothing(store: KeyStore) -> None:
    request = store.request(THING)
    issued = deploy(store, request)
    before = files_of(store)
    assert store.settle(THING, issued.pem, request)
    assert before == files_of(store)


def test_settling_brings_back_the_request_that_was_deployed(store: KeyStore) -> None:
    request = store.request(THING)
    issued = deploy(store, request)
    (store.directory / THING / "request.csr").unlink()
    assert store.settle(THING, issued.pem, request)
    assert request == store.request(THING)


def test_settling_keeps_no_request_for_another_key(store: KeyStore) -> None:
    request = store.request(THING)
    other = KeyStore(store.directory.parent / "other").request(THING)
    assert store.settle(THING, issue(request).pem, other)
    assert request == store.request(THING)


def test_what_is_settled_is_this_certificate_with_its_key(store: KeyStore) -> None:
    assert not store.settled(THING, "0" * 64)
    request = store.request(THING)
    assert not store.settled(THING, "0" * 64)
    issued = deploy(store, request)
    assert store.settled(THING, issued.certificate_id)
    assert not store.settled(THING, issue(request).certificate_id)


@pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_certificate_is_not_settled_and_fetched_again(store: KeyStore, content: bytes) -> None:
    request = store.request(THING)
    issued = deploy(store, request)
    store.certificate(THING).write_bytes(content)
    assert not store.settled(THING, issued.certificate_id)
    assert store.settle(THING, issued.pem, request)
    assert store.settled(THING, issued.certificate_id)


def test_a_certificate_beside_another_key_is_not_settled(store: KeyStore) -> None:
    issued = deploy(store, store.request(THING))
    store.private_key(THING).write_bytes(pem_of(ec.generate_private_key(ec.SECP256R1())))
    assert not store.settled(THING, issued.certificate_id)


def test_a_certificate_without_its_key_is_not_settled(store: KeyStore) -> None:
    issued = deploy(store, store.request(THING))
    store.private_key(THING).unlink()
    assert not store.settled(THING, issued.certificate_id)


def test_a_certificate_whose_key_is_elsewhere_changes_nothing(store: KeyStore) -> None:
    elsewhere = KeyStore(store.directory.parent / "elsewhere").request(THING)
    assert not store.settle(THING, issue(elsewhere).pem, elsewhere)
    assert not store.directory.exists()
    deploy(store, store.request(THING))
    store.renew(THING)
    before = files_of(store)
    assert not store.settle(THING, issue(elsewhere).pem, elsewhere)
    assert before == files_of(store)


def test_a_rotation_replaces_the_key_only_when_its_certificate_is_there(store: KeyStore) -> None:
    old = store.request(THING)
    deploy(store, old)
    before = files_of(store)
    new = store.renew(THING, old)
    assert new != old
    assert before == {name: files_of(store)[name] for name in FILES}
    issued = deploy(store, new)
    assert store.settled(THING, issued.certificate_id)
    assert before.keys() == files_of(store).keys()
    assert before["private.key"] != files_of(store)["private.key"]
    assert new == store.request(THING)


def test_a_rotation_that_was_rolled_back_leaves_the_old_key_in_its_place(store: KeyStore) -> None:
    old = store.request(THING)
    issued = deploy(store, old)
    new = store.renew(THING, old)
    assert store.settle(THING, issued.pem, old)
    assert store.settled(THING, issued.certificate_id)
    assert new == store.renew(THING, old)


def test_a_rotation_never_writes_over_a_key_that_may_be_deployed(store: KeyStore) -> None:
    deploy(store, store.request(THING))
    assert store.renew(THING) == store.renew(THING)


def test_a_rotation_after_one_that_was_not_noted_is_for_another_key(store: KeyStore) -> None:
    first = store.request(THING)
    deploy(store, first)
    second = store.renew(THING, first)  # and deployed, but killed before it was settled
    third = store.renew(THING, second)
    assert 3 == len({first, second, third})
    issued = issue(second)
    assert store.settle(THING, issued.pem, second)
    assert store.settled(THING, issued.certificate_id)


def test_a_rotation_of_a_thing_whose_key_is_elsewhere_brings_it_here(store: KeyStore) -> None:
    elsewhere = KeyStore(store.directory.parent / "elsewhere").request(THING)
    issued = deploy(store, store.renew(THING, elsewhere))
    assert store.settled(THING, issued.certificate_id)


def test_a_pending_key_can_be_discarded_and_no_other(store: KeyStore) -> None:
    store.discard_pending(THING)
    deploy(store, store.request(THING))
    before = files_of(store)
    store.renew(THING)
    store.discard_pending(THING)
    assert before == files_of(store)


def begin_first(store: KeyStore) -> str:
    return store.request(THING)


def begin_rotation(store: KeyStore) -> str:
    old = store.request(THING)
    deploy(store, old)
    return store.renew(THING, old)


@pytest.mark.parametrize("begin", [begin_first, begin_rotation])
def test_settling_that_is_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, killer: Killer, begin: Callable[[KeyStore], str]
) -> None:
    for access in range(1, MOST_ACCESSES):
        store = KeyStore(tmp_path / str(access))
        request = begin(store)
        issued = issue(request)
        killed = killer.until(store.directory, access, lambda: store.settle(THING, issued.pem, request))  # noqa: B023
        assert_no_mismatch(store)
        assert store.settle(THING, issued.pem, request)
        assert store.settled(THING, issued.certificate_id)
        assert request == store.request(THING)
        assert set(FILES) == files_of(store).keys()
        if not killed:
            break
    assert 10 < access < MOST_ACCESSES - 1


def assert_no_mismatch(store: KeyStore) -> None:
    """Whoever copies key and certificate now has two that belong together."""
    key, certificate = read_key(store.private_key(THING)), store.certificate(THING)
    if key and certificate.exists():
        assert x509.load_pem_x509_certificate(certificate.read_bytes()).public_key() == key.public_key()


def test_a_request_that_is_killed_anywhere_is_made_by_the_next(tmp_path: Path, killer: Killer) -> None:
    for access in range(1, MOST_ACCESSES):
        store = KeyStore(tmp_path / str(access))
        killed = killer.until(store.directory, access, lambda: store.request(THING))  # noqa: B023
        request = store.request(THING)
        assert {"private.key.new", "request.csr.new"} == files_of(store).keys()
        assert store.settled(THING, deploy(store, request).certificate_id)
        if not killed:
            break
    assert 5 < access < MOST_ACCESSES - 1


def test_a_rotation_that_is_killed_anywhere_loses_no_key_that_is_deployed(tmp_path: Path, killer: Killer) -> None:
    for access in range(1, MOST_ACCESSES):
        store = KeyStore(tmp_path / str(access))
        request = begin_rotation(store)
        issued = issue(request)
        killed = killer.until(store.directory, access, lambda: store.renew(THING, request))  # noqa: B023
        assert_no_mismatch(store)
        assert request != store.renew(THING, request)
        assert store.settle(THING, issued.pem, request)
        assert store.settled(THING, issued.certificate_id)
        if not killed:
            break
    assert 10 < access < MOST_ACCESSES - 1


def test_deployments_at_the_same_time_make_one_key(store: KeyStore) -> None:
    barrier = Barrier(8)

    def request(_: int) -> str:
        barrier.wait()
        return KeyStore(store.directory).request(THING)

    with ThreadPoolExecutor(8) as pool:
        assert 1 == len(set(pool.map(request, range(8))))


@pytest.mark.parametrize("name", FILES)
def test_no_symbolic_link_is_settled(store: KeyStore, tmp_path: Path, name: str) -> None:
    request = store.request(THING)
    (store.directory / THING / name).symlink_to(tmp_path / "target")
    with pytest.raises(DeployError, match=f"{name} is a symbolic link"):
        store.settle(THING, issue(request).pem, request)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["request.csr", "certificate.pem"])
def test_no_symbolic_link_is_settled_again(store: KeyStore, tmp_path: Path, name: str) -> None:
    request = store.request(THING)
    issued = deploy(store, request)
    (store.directory / THING / name).unlink()
    (store.directory / THING / name).symlink_to(tmp_path / "target")
    with pytest.raises(DeployError, match=f"{name} is a symbolic link"):
        store.settle(THING, issued.pem, request)


def test_a_symbolic_link_in_a_things_place_is_refused(store: KeyStore, tmp_path: Path) -> None:
    store.directory.mkdir()
    (tmp_path / "target").mkdir()
    (store.directory / THING).symlink_to(tmp_path / "target")
    with pytest.raises(DeployError, match=f"{THING} is a symbolic link"):
        store.request(THING)
    assert [] == list((tmp_path / "target").iterdir())


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must be a private key in PEM without a pass phrase"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "must be a private key in PEM"),
        (
            pem_of(ec.generate_private_key(ec.SECP256R1()), b"secret"),
            "must be a private key in PEM without a pass phrase",
        ),
        (pem_of(ec.generate_private_key(ec.SECP384R1())), "must be a key on the curve P-256"),
        (pem_of(rsa.generate_private_key(65537, 2048)), "must be a key on the curve P-256"),
    ],
    ids=["empty", "damaged", "pass phrase", "P-384", "RSA"],
)
def test_another_key_is_refused_and_kept(store: KeyStore, content: bytes, rule: str) -> None:
    (store.directory / THING).mkdir(parents=True)
    store.private_key(THING).write_bytes(content)
    with pytest.raises(DeployError, match=rf"{THING}/private.key {rule}"):
        store.request(THING)
    assert {"private.key": content} == files_of(store)


def test_a_certificate_that_is_none_is_refused(store: KeyStore) -> None:
    request = store.request(THING)
    with pytest.raises(DeployError, match=f"the certificate of {THING} must be PEM"):
        store.settle(THING, "", request)


def test_a_disk_that_is_full_while_settling_is_no_obstacle_when_it_is_not(store: KeyStore) -> None:
    request = begin_rotation(store)
    issued = issue(request)
    with full_disk(), pytest.raises(DeployError, match="cannot be read or written: File too large"):
        store.settle(THING, issued.pem, request)
    assert_no_mismatch(store)
    assert store.settle(THING, issued.pem, request)
    assert store.settled(THING, issued.certificate_id)
