"""The Python packages that an installer installs: what of somebody's settings counts, and a wheel of our own."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.installers.test_device import load

ROOT = Path(__file__).resolve().parent.parent.parent
OLD, NEW = "thing-1.0-py2-none-any.whl", "thing-1.0-py3-none-any.whl"
# As pip 20.3 to 25 print it: a value as Python has it, sections of files, then the environment.
SAID = r"""
:env:.cert='/etc/ssl/mine.pem'
:env:.user='yes'
global.cert='/etc/ssl/other.pem'
global.extra-index-url='https://user:p%40ss@a.example/simple\n\nhttps://b.example/simple'
global.index-url='https://mirror.example/simple'
global.proxy='http://proxy.example:3128'
global.require-hashes='true'
global.target='/srv'
install.index-url='https://for-install.example/simple'
install.prefix='/usr'
install.user='true'
list.format='columns'
"""


@pytest.fixture
def surroundings() -> ModuleType:
    """The module that knows what of the environment counts."""
    return load()["surroundings"]


def test_index_certificate_and_proxy_count_and_what_decides_where_to_does_not(surroundings: ModuleType) -> None:
    expected = {
        "PIP_CERT": "/etc/ssl/mine.pem",
        "PIP_EXTRA_INDEX_URL": "https://user:p%40ss@a.example/simple\n\nhttps://b.example/simple",
        "PIP_INDEX_URL": "https://for-install.example/simple",
        "PIP_PROXY": "http://proxy.example:3128",
    }
    assert expected == surroundings.settings_of(SAID, Path("/"))


def test_a_relative_certificate_is_taken_from_where_the_installer_was_called(surroundings: ModuleType) -> None:
    assert {"PIP_CERT": "/home/me/ca.pem"} == surroundings.settings_of("global.cert='ca.pem'", Path("/home/me"))


def test_what_is_run_sees_nothing_that_decides_what_is_run_or_installed(surroundings: ModuleType) -> None:
    deciding = (
        "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PIP_USER", "PIP_TARGET", "PIP_PREFIX",
        "PIP_CERT", "PIP_REQUIRE_HASHES", "PIP_CONFIG_FILE", "PIP_NO_BINARY", "VIRTUAL_ENV", "CDPATH", "BASH_ENV",
        "ENV", "BASH_FUNC_cd%%", "SETUPTOOLS_USE_DISTUTILS",
    )  # fmt: skip
    counting = ("PATH", "HOME", "LANG", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "ENVIRONMENT", "LC_ALL")
    assert set(counting) == set(surroundings.clean(dict.fromkeys((*deciding, *counting), "x")))


def test_pip_reads_no_file_of_settings_and_finds_an_indexs_password(surroundings: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text("machine a.example login me password secret")
    (tmp_path / "home" / ".pydistutils.cfg").write_text("[install]\nuser=1")
    (tmp_path / "empty").mkdir()
    user = {"HOME": str(tmp_path / "home"), "PIP_USER": "1"}
    surroundings.link_netrc(user, tmp_path / "empty")
    environment = surroundings.for_pip(user, {"PIP_PROXY": "p"}, tmp_path / "empty")
    assert {"HOME": str(tmp_path / "empty"), "PIP_CONFIG_FILE": os.devnull, "PIP_PROXY": "p"} == environment
    assert [".netrc"] == [path.name for path in (tmp_path / "empty").iterdir()]
    assert "secret" in (tmp_path / "empty" / ".netrc").read_text()


def test_a_home_that_is_not_for_this_user_has_no_password_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))  # before Python 3.14

    surroundings = load()["surroundings"]
    monkeypatch.setattr(Path, "is_file", refuse)
    surroundings.link_netrc({}, tmp_path)
    assert [] == list(tmp_path.iterdir())


EVERYWHERE = ("PIP_CONFIG_FILE", "HOME", "environment")


@pytest.mark.parametrize(
    "places", [EVERYWHERE, *(pytest.param((each,), marks=pytest.mark.slow) for each in EVERYWHERE)], ids=" ".join
)
def test_a_pip_whose_user_wants_it_elsewhere_installs_into_the_environment_all_the_same(
    tmp_path: Path, places: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried with a real pip in a real environment, which the slow variants bring it into, and an index of files."""
    wheel(tmp_path / "index" / NEW, tag="py3-none-any")
    (tmp_path / "home" / ".config" / "pip").mkdir(parents=True)
    for path in (tmp_path / "pip.conf", tmp_path / "home" / ".config" / "pip" / "pip.conf"):
        path.write_text("[global]\nuser = true\nrequire-hashes = true\n[install]\ntarget = /nowhere\n")
    settings = {
        "PIP_CONFIG_FILE": {"PIP_CONFIG_FILE": "pip.conf"},
        "HOME": {"HOME": str(tmp_path / "home")},
        "environment": {"PIP_USER": "1", "PIP_TARGET": "/nowhere", "PIP_REQUIRE_HASHES": "1"},
    }
    for name, value in {name: value for place in places for name, value in settings[place].items()}.items():
        monkeypatch.setenv(name, value)
    program = tmp_path / "program"
    program.mkdir()
    (program / "requirements.txt").write_text("thing\n")
    commands = load()["commands"].Commands()
    commands.transcript = tmp_path / "transcript"
    if places == EVERYWHERE:
        monkeypatch.setattr(commands, "run", with_our_pip(commands.run))
    packages = load()["packages"].Packages(commands, program, tmp_path, wheelhouse=tmp_path / "index")
    assert packages.install(), commands.transcript.read_text()
    found = subprocess.run(
        [program / "venv" / "bin" / "python", "-I", "-c", "import thing; print(thing.__file__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.startswith(str(program / "venv"))


def with_our_pip(run: Callable[..., bool]) -> Callable[..., bool]:
    """Let an environment have the pip of this Python's, since bringing one takes seconds."""
    packages = sysconfig.get_path("purelib")

    def run_with(*words: object, **options: Any) -> bool:
        if "venv" not in words:
            return run(*words, **options)
        made = run(*words, "--without-pip", **options)
        (library,) = Path(str(words[-1])).glob("lib/python*/site-packages")
        (library / "ours.pth").write_text(packages)
        return made

    return run_with


LOCK = """# Written by a test
msgspec==0.20.0 ; python_version < "3.10" \\
    --hash=sha256:aa
msgspec==0.23.0 ; python_version >= "3.10" \\
    --hash=sha256:bb \\
    --hash=sha256:cc
psutil==7.2.2 \\
    --hash=sha256:dd
"""


class Recorded:
    """Commands of which those with certain words fail; they are written down, with the lock that they were given."""

    def __init__(self, *failing: str, settings: str = "", there: str = "") -> None:
        self.failing, self.settings, self.there = failing, settings, there
        self.dry_run, self.python, self.of_user = False, Path("python"), {"PATH": "/bin"}
        self.calls: list[str] = []
        self.locks: list[str] = []

    def run(self, *words: object, **_: object) -> bool:
        """Take a command; the first that fails is not failing any more."""
        line = " ".join(map(str, words))
        self.calls.append(" ".join(line.split()[3:6]))
        self.locks += [Path(str(word)).read_text() for word in words if str(word).endswith(".lock")]
        return not any(each in line for each in self.failing)

    def ask(self, *words: object, **_: object) -> str:
        """Answer `pip config list`, or which packages the system has."""
        return self.settings if "config" in words else self.there

    def do(self, words: object, work: Callable[[], object]) -> None:
        """Do it."""
        work()

    def do_as_device(self, *_: object) -> None:
        """Do nothing."""

    def tell(self, *_: object) -> None:
        """Say nothing."""

    def remove(self, *_: object) -> None:
        """Remove nothing."""

    def make_open(self, directory: Path) -> None:
        """Make a directory."""
        directory.mkdir(parents=True, exist_ok=True)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A version with its locks."""
    (tmp_path / "installers").mkdir()
    for name in ("packages", "retagged", "build"):
        (tmp_path / "installers" / f"{name}.lock").write_text(LOCK)
    (tmp_path / "requirements.txt").write_text("msgspec\npsutil\n")
    return tmp_path


def test_where_there_are_wheels_nothing_is_built(program: Path) -> None:
    commands = Recorded()
    assert load()["packages"].Packages(commands, program, Path("/")).install()
    assert ["venv --clear", "pip download", "pip download", "pip install"] == shortened(commands.calls)
    assert {LOCK} == set(commands.locks)


def test_where_there_are_none_they_are_built_from_the_lock_by_builders_of_the_lock_which_do_not_stay(
    program: Path,
) -> None:
    commands = Recorded(
        "download --no-input --disable-pip-version-check --no-cache-dir --no-deps --dest "
        f"{program}/wheels --only-binary :all: --require-hashes --requirement {program}/installers/pack"
    )
    assert load()["packages"].Packages(commands, program, Path("/")).install()
    expected = [
        "venv --clear",
        "pip download",
        "pip install",
        "pip wheel",
        "venv --clear",
        "pip download",
        "pip install",
    ]
    assert expected == shortened(commands.calls)


def test_what_the_distribution_has_is_not_built(program: Path) -> None:
    commands = Recorded(there="psutil\n")
    assert load()["packages"].Packages(commands, program, Path("/")).install(with_systems=True)
    assert ["venv --clear", "pip install", "pip wheel", "venv --clear"] == shortened(commands.calls)[:4]
    assert ["msgspec" in lock and "psutil" not in lock for lock in commands.locks][1], commands.locks


@pytest.mark.parametrize(
    ("settings", "bits", "taken"),
    [
        ("global.extra-index-url='https://www.piwheels.org/simple'", 32, True),
        ("global.extra-index-url='https://www.piwheels.org/simple'", 64, False),
        ("", 32, False),
    ],
)
def test_on_32_bit_arm_wheels_of_the_distributions_own_index_are_taken_in_the_locks_versions(
    program: Path, monkeypatch: pytest.MonkeyPatch, settings: str, bits: int, taken: bool
) -> None:
    packages = load()["packages"]
    monkeypatch.setattr(packages, "IS_32_BIT", bits == 32)
    commands = Recorded("--require-hashes --requirement " + f"{program}/installers/packages.lock", settings=settings)
    packages.Packages(commands, program, Path("/")).install()
    built = "pip wheel" in shortened(commands.calls)
    assert built != taken
    versions = 'msgspec==0.20.0 ; python_version < "3.10"\nmsgspec==0.23.0 ; python_version >= "3.10"\npsutil==7.2.2\n'
    assert taken == (versions in commands.locks)


def shortened(calls: list[str]) -> list[str]:
    """Return the first words of each call."""
    return [" ".join(call.split()[:2]) for call in calls]


# A wheel of our own


def wheel(path: Path, tag: str = "py2-none-any") -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("thing/__init__.py", "answer = 42\n")
        file.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        file.writestr("thing-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr("thing-1.0.dist-info/RECORD", "thing-1.0.dist-info/RECORD,,\n")
    return path


def test_a_wheel_that_says_python_2_becomes_one_that_pip_installs(tmp_path: Path) -> None:
    wheel(tmp_path / OLD)
    assert NEW == load()["wheel"].retag_wheels(argparse.Namespace(directory=tmp_path))
    assert [NEW] == [path.name for path in tmp_path.iterdir()]
    command = [sys.executable, "-I", "-m", "pip", "install", "-q", "--no-index", "--target", str(tmp_path / "to")]
    done = subprocess.run([*command, str(tmp_path / NEW)], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "answer = 42\n" == (tmp_path / "to" / "thing" / "__init__.py").read_text()


def test_the_same_wheel_is_the_same_file_whenever_it_is_made(tmp_path: Path) -> None:
    retag = load()["wheel"].retag
    one, other = (retag(wheel(tmp_path / name / OLD)).read_bytes() for name in ("one", "other"))
    assert one == other


def test_what_is_no_wheel_or_a_huge_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / OLD).write_bytes(b"PK no zip")
    module = load()["wheel"]
    with pytest.raises(load()["problem"].Problem, match="is no wheel"):
        module.retag(tmp_path / OLD)
    with zipfile.ZipFile(wheel(tmp_path / OLD), "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("thing/huge", b"0" * 2_000_000)
    with pytest.raises(load()["problem"].Problem, match="more than 1000000 bytes"):
        module.retag(tmp_path / OLD)


# Text that is no UTF-8


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_cannot_show_is_shown_as_an_escape(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding)) as output:
        load()["commands"].say(os.fsdecode(b"/tmp/caf\xe9") + " \u20ac \x1b[2J\nb")
        output.flush()
        said = raw.getvalue()
        assert (b"/tmp/caf\\udce9 ", b" \\x1b[2J\nb\n") == (said[:15], said[-11:])


def test_what_a_tool_says_in_latin_1_is_read() -> None:
    assert "caf\ufffd\n" == load()["commands"].Commands().ask("printf", "caf\\351\\n")
