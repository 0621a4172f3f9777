"""The start of each program of this project: in the .venv beside it, with a Python that is new enough.

Python 3.6 can read this file as well, and no package needs to be there: what is missing is said in one sentence.
"""

import os
import sys

ENTERED = "AMAZON_DEFENDER_ENTERED"  # names the .venv that was entered, so that a broken one is not entered for ever
DISTRIBUTION = "amazon-defender-publisher"  # our name on PyPI


def begin(program: str, oldest: "tuple[int, int]") -> None:
    """Let `program`, a file beside our packages, find them, in the .venv beside it where this Python is in none.

    Ends the process with a sentence where Python is older than `oldest`.
    """
    program = os.path.realpath(program)
    here = os.path.dirname(program)
    enter(os.path.join(here, ".venv"), program)
    if sys.version_info < oldest:
        found = f"this is Python {sys.version.split()[0]} ({sys.executable})"
        sys.exit(f"{os.path.basename(program)} needs Python {oldest[0]}.{oldest[1]} or later, {found}")
    if here not in sys.path:  # where Python was told to be isolated (-I)
        sys.path.insert(0, here)


def enter(environment: str, program: str) -> None:
    """Replace this process by one in the virtual environment; return where it is in one, or where there is none."""
    python = os.path.join(environment, "bin", "python")
    entered = os.environ.pop(ENTERED, None) == environment
    if entered or sys.prefix != sys.base_prefix or not os.path.exists(python):
        return
    os.environ[ENTERED] = environment
    os.execv(python, [python, program, *sys.argv[1:]])  # noqa: S606 - the Python that was installed for this program


def say_missing(
    program: str, error: ImportError, ours: "tuple[str, ...]", extra: str = "", target: str = "install"
) -> None:
    """Say on standard error which package is missing; raises the error again where it is none of those that we need."""
    if (error.name or "").partition(".")[0] not in ours:
        raise error
    print(f"{program}: {explain_missing(error, extra, target)}", file=sys.stderr)


def explain_missing(error: ImportError, extra: str = "", target: str = "install") -> str:
    """Say which package is missing, and the command that installs it where this program is.

    `extra` is the program's own part of the distribution ("detect"), `target` what `make` calls its packages.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    return f"the Python package {error.name or error} is missing; run: {remedy(here, extra, target)}"


def remedy(here: str, extra: str, target: str) -> str:
    """Return the command that installs what is missing: in a checkout, a release, on a device, or with pip."""
    if os.path.exists(os.path.join(here, "Makefile")):
        return f"make -C {_quoted(here)} {target}"
    if os.path.exists(os.path.join(here, "pyproject.toml")):
        return _into_new_environment(os.path.join(here, ".venv"), here, extra)
    if os.path.exists(os.path.join(here, "requirements.txt")):  # what the installers leave has no part but the device's
        return f"{_quoted(sys.executable)} -m pip install -r {_quoted(os.path.join(here, 'requirements.txt'))}"
    if is_externally_managed():
        return _into_new_environment(os.path.expanduser(f"~/.{DISTRIBUTION}"), DISTRIBUTION, extra)
    pip = f"{_quoted(sys.executable)} -m pip install"
    from importlib.util import find_spec  # here, as below: a program that starts does without

    if find_spec("pip") is None:  # in an environment that uv made
        pip = f"uv pip install --python {_quoted(sys.executable)}"
    return f"{pip} {_wanted(DISTRIBUTION, extra)}"


def is_externally_managed() -> bool:
    """Return whether pip refuses to install for this Python, as Debian 12's and Homebrew's do (PEP 668)."""
    import sysconfig

    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and os.path.exists(marker)


def _into_new_environment(environment: str, source: str, extra: str) -> str:
    pip = os.path.join(environment, "bin", "pip")
    return f"python3 -m venv {_quoted(environment)} && {_quoted(pip)} install {_wanted(source, extra)}"


def _wanted(source: str, extra: str) -> str:
    return f'"{source}[{extra}]"' if extra else _quoted(source)


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
