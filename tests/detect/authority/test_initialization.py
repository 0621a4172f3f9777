"""`init` makes an authority and a configuration from nothing, once, and whatever is wrong is one sentence."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

import contextlib

from cryptography import x509

from defender_detect.attachments import read_rules
from defender_detect.authority.certificates import hosts_of, is_issued_by
from defender_detect.authority.directory import Directory
from defender_detect.authority.initialization import Wish
from defender_detect.authority.issuing import open_issuer
from defender_detect.authority.passphrase import Passphrase
from defender_detect.checking import check, find_credentials
from defender_detect.config import read_config
from defender_detect.errors import AuthorityError
from demo.authority import Authority
from tests.detect.authority.home import LOCAL, NO_PHRASE, NOW, Killed, make, stopped_at
from tests.waiting import outcome


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def contents(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(AuthorityError) as caught:
        make(path, **options)
    return str(caught.value)


def is_whole(path: Path) -> bool:
    """Whether Detect would start from a directory: certificates, keys, profiles and configuration."""
    config = read_config(Directory(path).config, {})
    find_credentials(config).client_context()
    if sys.version_info >= (3, 10):  # which the built-in broker needs
        find_credentials(config).server_context()
    return any("network-metrics" in line for line in check(config, whole=True))


def test_what_is_made_is_a_configuration_that_detect_takes_whole(home):
    make(home)
    assert is_whole(home)
    config = read_config(home / "amazon-defender-detect.json", {})
    assert config.agent.authentication.endpoint == "127.0.0.1"
    assert config.agent.authentication.revoked == str(home / "revoked.txt")
    assert [each.profile.name for each in read_rules(config).attachments] == ["network-metrics", "silence"]


def test_the_authority_is_valid_for_ten_years_and_detects_certificate_ends_with_it(home):
    make(home)
    authority = certificate(home / "authority" / "authority.pem")
    assert 3650 <= (authority.not_valid_after_utc - NOW).days <= 3653
    detect = certificate(home / "detect.pem")
    assert is_issued_by(detect, authority)
    assert detect.not_valid_after_utc == authority.not_valid_after_utc
    assert hosts_of(detect) == ["localhost", "127.0.0.1", "::1"]


def test_only_the_owner_reads_keys_and_the_authority_whatever_the_umask_is(home):
    before = os.umask(0)
    try:
        make(home)
    finally:
        os.umask(before)
    modes = {each: stat.S_IMODE((home / each).stat().st_mode) for each in ("authority", "detect.key", "detect.pem")}
    assert modes == {"authority": 0o700, "detect.key": 0o600, "detect.pem": 0o644}
    assert stat.S_IMODE((home / "authority" / "authority.key").stat().st_mode) == 0o600


def test_the_service_needs_nothing_of_what_is_in_the_authority(home):
    make(home)
    (home / "authority").rename(home.parent / "locked-away")
    assert is_whole(home)


def test_a_second_run_changes_nothing(home):
    assert len(make(home)) == 3
    before = contents(home)
    assert make(home, now=NOW + timedelta(days=9)) == []
    assert make(home, Wish()) == []
    assert contents(home) == before


def test_what_a_person_edited_or_removed_stays_so(home):
    make(home)
    config = json.loads((home / "amazon-defender-detect.json").read_text())
    config["detect"]["metrics_days"] = 3
    (home / "amazon-defender-detect.json").write_text(json.dumps(config))
    (home / "profiles" / "network-metrics.json").unlink()
    (home / "notes").mkdir()
    before = contents(home)
    assert make(home) == []
    assert contents(home) == before


def test_other_names_renew_the_certificate_for_the_same_key(home):
    make(home)
    key = (home / "detect.key").read_bytes()
    (line,) = make(home, Wish(hosts=["detect.home", "192.168.1.10"]))
    assert line.startswith("renewed")
    assert "detect.home, 192.168.1.10" in line
    assert hosts_of(certificate(home / "detect.pem"))[:2] == ["detect.home", "192.168.1.10"]
    assert (home / "detect.key").read_bytes() == key
    assert is_whole(home)


def test_a_key_with_a_pass_phrase_is_asked_for_it_once_a_run(home, tmp_path):
    asked = []

    def ask(prompt):
        asked.append(prompt)
        return "correct horse"

    make(home, passphrase=Passphrase(wanted=True, ask=ask, can_ask=lambda: True))
    assert len(asked) == 2
    assert b"ENCRYPTED" in (home / "authority" / "authority.key").read_bytes()
    make(home, passphrase=Passphrase(ask=ask, can_ask=lambda: True))
    assert len(asked) == 3
    (tmp_path / "phrase").write_text("correct horse\nand a second line\n")
    open_issuer(Directory(home), Passphrase(tmp_path / "phrase"), NOW)
    (tmp_path / "phrase").write_text("wrong\n")
    assert "the pass phrase does not open it" in refusal(home, passphrase=Passphrase(tmp_path / "phrase"))
    assert "give it by --passphrase-file FILE" in refusal(home)


def test_a_kill_at_any_step_leaves_no_half_authority_and_the_next_run_completes_it(tmp_path):
    for step in range(1, 1000):
        home = tmp_path / str(step)
        with stopped_at(step, Killed()) as is_stopped:
            with contextlib.suppress(Killed):
                make(home)
            if not is_stopped():
                assert step > 30  # so many steps there were, and each was tried
                return
        if (home / "amazon-defender-detect.json").exists():
            assert is_whole(home)
        make(home)
        assert is_whole(home)
        assert make(home) == []
        open_issuer(Directory(home), NO_PHRASE, NOW)
        assert not [each for each in home.rglob(".*") if each.is_file()]
    pytest.fail("it never ended")


def test_a_full_disk_is_a_sentence_at_any_step_and_loses_nothing(tmp_path):
    for step in range(1, 1000):
        home = tmp_path / str(step)
        with stopped_at(step, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) as is_stopped:
            said = str(outcome(lambda home=home: make(home)))
            if not is_stopped():
                return
        assert "made" in said or "No space left on device; make room (df -h " in said
        assert "\n" not in said
        make(home)
        assert is_whole(home)
    pytest.fail("it never ended")


def test_a_clock_of_1970_is_said_before_anything_is_made(home):
    said = refusal(home, now=datetime(1970, 1, 1, 0, 5, tzinfo=timezone.utc))
    assert said.startswith("this machine's clock says 1970-01-01 00:05 UTC, and no certificate can begin then: set it")
    assert not home.exists()


def test_a_clock_before_the_authoritys_beginning_and_after_its_end_is_said(home):
    make(home)
    assert "before the authority of" in refusal(home, now=NOW - timedelta(days=30))
    assert "ended on 2036-" in refusal(home, now=NOW + timedelta(days=4000))


def test_a_directory_that_holds_something_else_stays_as_it_is(home):
    home.mkdir()
    (home / "holiday.jpg").write_bytes(b"beach")
    said = refusal(home)
    assert said == f"{home} holds something else ('holiday.jpg'): name an empty directory, or a new one"
    assert contents(home) == {"holiday.jpg": b"beach"}


def test_a_file_is_no_directory(home):
    home.write_text("a file")
    assert refusal(home) == f"{home} must be a directory, and is a file: name another one"


def test_a_directory_in_which_nobody_may_write_is_said(tmp_path, unprivileged):
    pid = os.fork()
    if pid == 0:  # in a process of its own, because root may write anywhere
        os.setgroups([])
        os.setuid(unprivileged)
        try:
            make(Path("/usr/amazon-defender-detect"))
        except AuthorityError as error:
            os._exit(0 if "run this as its owner, or with sudo" in str(error) else 2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("name", ["authority/authority.pem", "roots.pem", "detect.pem"])
def test_a_foreign_authority_is_said_and_stays(home, tmp_path, name):
    make(home)
    foreign = Authority(tmp_path / "foreign")
    given = foreign.issue("detect", ["localhost"]).certificate if name == "detect.pem" else foreign.certificate
    (home / name).write_bytes(given.read_bytes())
    before = contents(home)
    said = refusal(home)
    assert str(home / name) in said
    assert "belong together" in said or "another authority's" in said
    assert "\n" not in said
    assert contents(home) == before


def test_a_foreign_authority_may_be_trusted_beside_ours(home, tmp_path):
    make(home)
    with (home / "roots.pem").open("ab") as roots:
        roots.write(Authority(tmp_path / "foreign").certificate.read_bytes())
    assert make(home) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda home: (home / "authority" / "authority.key").unlink(), "authority.key is missing, without which"),
        (lambda home: (home / "authority" / "authority.key").write_text("no key"), "it is damaged; restore it"),
        (lambda home: (home / "authority" / "authority.pem").write_text("none"), "must be a certificate (PEM)"),
        (lambda home: (home / "authority" / "issued.json").write_text("{"), "issued.json is damaged; restore it"),
        (lambda home: (home / "amazon-defender-detect.json").write_text("[]"), "must be a JSON object"),
    ],
)
def test_what_is_damaged_is_said_by_its_name(home, damage, said):
    make(home)
    damage(home)
    assert said in refusal(home)


def test_a_certificate_without_its_key_is_issued_again(home):
    make(home)
    (home / "detect.key").unlink()
    (line,) = make(home)
    assert line.startswith("made Detect's certificate")
    assert is_whole(home)


def test_the_key_of_another_certificate_is_repaired(home, tmp_path):
    make(home)
    other = Authority(tmp_path / "other").issue("x").private_key
    (home / "detect.key").write_bytes(other.read_bytes())
    (line,) = make(home)
    assert line.startswith("repaired Detect's certificate")
    assert is_whole(home)


def test_mosquitto_and_the_built_in_broker_are_not_mixed(home):
    make(home)
    said = refusal(home, wish=Wish(hosts=LOCAL.hosts, mosquitto=True))
    assert "is for the built-in broker: set agent.embedded_broker to false" in said


def test_a_directory_of_which_others_can_make_what_they_like_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    said = refusal(shared / "detect")
    assert said.startswith(f"everybody can write to {shared}, and could put another authority")
    assert [] == list(shared.iterdir())
    shared.chmod(0o1777)  # as /tmp is
    make(shared / "detect")
    mine = os.stat(shared).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: mine + 4711)
    other = tmp_path / "other"
    other.mkdir()
    found = os.stat_result((0o40755, 0, 0, 0, mine + 42, 0, 0, 0, 0, 0))
    stat_of = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **given: found if path == other else stat_of(path, **given))
    assert refusal(other / "detect").startswith(f"{other} belongs to ")


def test_a_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file" / "detect").startswith(f"{tmp_path}/file/detect")


RENEWING = Wish(hosts=["localhost"], port=18883, renewal=True)


def test_with_renewal_the_configuration_allows_it_and_a_second_run_changes_nothing(home: Path) -> None:
    assert any("over-the-air.json, for things that renew" in line for line in make(home, RENEWING))
    assert {"authority": "authority"} == json.loads(Directory(home).config.read_text())["agent"]["renewal"]
    assert stat.S_IMODE(Directory(home).over_the_air.stat().st_mode) == 0o644
    before = contents(home)
    assert [] == make(home, RENEWING)
    assert before == contents(home)


def test_without_it_nothing_is_allowed(home: Path) -> None:
    make(home)
    assert "renewal" not in json.loads(Directory(home).config.read_text())["agent"]
    assert not Directory(home).over_the_air.exists()


def test_renewal_is_refused_with_mosquitto_and_mosquitto_after_it(home: Path, tmp_path: Path) -> None:
    both = Wish(hosts=["localhost"], renewal=True, mosquitto=True)
    assert "at mosquitto the answers would go to everybody who subscribes" in refusal(home, wish=both)
    assert not home.exists()
    make(home, RENEWING)
    document = json.loads(Directory(home).config.read_text())
    document["agent"]["embedded_broker"] = False
    Directory(home).config.write_text(json.dumps(document))
    said = refusal(home, wish=Wish(hosts=["localhost"], mosquitto=True))
    assert "mosquitto cannot know which of them are registered: run init --mosquitto with another directory" in said


def test_renewal_is_refused_where_the_authoritys_key_has_a_pass_phrase(home: Path, tmp_path: Path) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("secret\n")
    says = "the service cannot type the pass phrase of the authority's key"
    assert says in refusal(home, wish=RENEWING, passphrase=Passphrase(phrase))
    assert not home.exists()
    make(home, passphrase=Passphrase(phrase))
    assert says in refusal(home, wish=RENEWING, passphrase=Passphrase(phrase))
