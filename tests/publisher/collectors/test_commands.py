"""Commands: real programs, most of them broken, and each one done with quickly."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import psutil
import pytest

from defender_publisher.collectors.commands import MOST_OUTPUT, read_output, run_command
from defender_publisher.errors import CollectError
from tests.waiting import FOR_EVER, wait_until

TIMEOUT = 0.3  # seconds, for commands that are to run into it
ENOUGH = FOR_EVER  # seconds, for those that are not


def python(code):
    return [sys.executable, "-c", code]


def shell(line):
    return ["/bin/sh", "-c", line]


def script(directory, text, mode=0o755):
    path = directory / "script"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def is_running(pid):
    """Tell whether a process is there and no zombie, as an orphan is until somebody reaps it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # ps is not everywhere
    except psutil.NoSuchProcess:
        return False


def is_gone(pid):
    return wait_until(lambda: not is_running(pid))


def run_into_timeout(argv, pid_file):
    """Run a command into its time-out, after it has said who it is, for which a slow machine needs longer."""
    for timeout in (TIMEOUT, 10 * TIMEOUT, 100 * TIMEOUT):
        with pytest.raises(CollectError, match="did not end within"):
            run_command(argv, "number", timeout)
        if pid_file.exists() and (pid := pid_file.read_text()):
            return int(pid)
    raise AssertionError("the command did not begin")


@pytest.mark.parametrize(
    ("line", "metric_type", "expected"),
    [
        ("echo 42", "number", 42),
        ("printf '1\\n2\\n'", "number-list", [1, 2]),
        ("echo '[\"sshd\"]'", "string-list", ["sshd"]),
        ("echo 10.0.0.1; echo ignored >&2", "ip-address-list", ["10.0.0.1"]),
        ("true", "string-list", []),
    ],
)
def test_a_command_gives_the_value_it_prints(line, metric_type, expected):
    assert expected == run_command(shell(line), metric_type, ENOUGH)


def test_no_shell_looks_at_the_arguments():
    assert ["$HOME; *"] == run_command(["/bin/echo", "$HOME; *"], "string-list", ENOUGH)


def test_a_command_that_reads_its_input_finds_none_whatever_the_agents_is():
    ours, (reading, writing) = os.dup(0), os.pipe()
    os.dup2(reading, 0)
    try:
        assert "" == read_output(["cat"], ENOUGH)
    finally:
        os.dup2(ours, 0)
        for descriptor in (ours, reading, writing):
            os.close(descriptor)


def test_a_command_is_found_on_the_path():
    assert 1 == run_command(["echo", "1"], "number", ENOUGH)


def test_output_that_is_no_utf_8_does_not_fail():
    assert ["caf\ufffd"] == run_command(shell("printf 'caf\\351'"), "string-list", ENOUGH)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("exit 3", r"/bin/sh ended with status 3$"),
        ("echo 42; echo first >&2; echo disk on fire >&2; exit 1", r"/bin/sh ended with status 1: disk on fire$"),
        ("echo '  ' >&2; exit 1", r"/bin/sh ended with status 1$"),
        ("kill -9 $$", r"/bin/sh was ended by signal 9$"),
        ("echo hot", r'/bin/sh must print numbers, printed "hot"$'),
        ("true", r"/bin/sh must print exactly one number, printed nothing$"),
    ],
)
def test_a_command_that_fails_is_an_error_with_its_reason(line, complaint):
    with pytest.raises(CollectError, match=complaint):
        run_command(shell(line), "number", ENOUGH)


def test_a_failure_is_an_error_even_if_the_output_was_fine():
    with pytest.raises(CollectError, match="status 1"):
        run_command(shell("echo 42; exit 1"), "number", ENOUGH)


def test_a_missing_program_is_named():
    with pytest.raises(CollectError, match=r"^/no/such/program was not found$"):
        run_command(["/no/such/program"], "number", ENOUGH)


def test_a_file_that_is_not_executable_is_named(tmp_path):
    path = script(tmp_path, "#!/bin/sh\necho 1\n", mode=0o644)
    with pytest.raises(CollectError, match=r"script is not executable for this user$"):
        run_command([path], "number", ENOUGH)


def test_a_script_whose_interpreter_is_missing_exists_all_the_same(tmp_path):
    path = script(tmp_path, "#!/no/such/interpreter\n")
    with pytest.raises(CollectError, match=r"script needs an interpreter that was not found$"):
        run_command([path], "number", ENOUGH)


def test_a_script_without_a_first_line_could_not_be_started(tmp_path):
    path = script(tmp_path, "echo 1\n")
    with pytest.raises(CollectError, match="script could not be started: .*Exec format error"):
        run_command([path], "number", ENOUGH)


def test_an_argument_no_program_can_have_is_an_error():
    with pytest.raises(CollectError, match="could not be started"):
        run_command(["echo", "a\0b"], "number", ENOUGH)


@pytest.mark.parametrize(
    "line",
    [
        "echo 1; exec sleep 3600",
        "exec sleep 3600 >&- 2>&-",  # has closed its output and runs on
        "while :; do echo still here >&2; done",
    ],
)
def test_a_command_that_hangs_is_ended_at_its_timeout(line):
    with pytest.raises(CollectError, match=r"^/bin/sh did not end within 0.3 seconds$"):
        run_command(shell(line), "number", TIMEOUT)


def test_a_command_that_ignores_signals_is_ended_all_the_same(tmp_path):
    pid_file = tmp_path / "pid"
    command = shell(f"trap '' TERM INT HUP; echo $$ >{pid_file}; while :; do sleep 3600; done")
    assert is_gone(run_into_timeout(command, pid_file))


@pytest.mark.parametrize("line", ["sleep 3600 & echo $! >{}; wait", "sleep 3600 & echo $! >{}; echo 42"])
def test_a_grandchild_that_holds_the_output_is_ended_with_its_parent(tmp_path, line):
    pid_file = tmp_path / "pid"
    assert is_gone(run_into_timeout(shell(line.format(pid_file)), pid_file))


def test_a_grandchild_that_left_the_session_and_holds_the_output_does_not_hang_us(tmp_path):
    pid_file = tmp_path / "pid"
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(3600)\n"
        "time.sleep(3600)\n"
    )
    os.kill(run_into_timeout(python(code), pid_file), 9)


def test_a_grandchild_that_lets_go_of_the_output_lives_on(tmp_path):
    pid_file = tmp_path / "pid"
    line = f"sleep 3600 >/dev/null 2>&1 & echo $! >{pid_file}; echo 42"
    assert 42 == run_command(shell(line), "number", ENOUGH)
    pid = int(pid_file.read_text())
    assert is_running(pid)
    os.kill(pid, 9)


def test_a_command_that_prints_100_megabytes_is_ended_at_once():
    with pytest.raises(CollectError, match="printed more than 65536 bytes"):
        run_command(shell("head -c 100000000 /dev/zero; sleep 3600"), "string-list", ENOUGH)


@pytest.mark.parametrize(("size", "fits"), [(MOST_OUTPUT, True), (MOST_OUTPUT + 1, False)])
def test_as_much_as_64_kib_is_read(size, fits):
    command = ["head", "-c", str(size), "/dev/zero"]
    if fits:
        assert "\0" * size == read_output(command, ENOUGH)
    else:
        with pytest.raises(CollectError, match="printed more than"):
            read_output(command, ENOUGH)


def test_much_on_standard_error_is_no_failure_and_its_last_line_is_kept():
    noise = "head -c 10000000 /dev/zero >&2; echo the end >&2"
    assert 42 == run_command(shell(f"{noise}; echo 42"), "number", ENOUGH)
    with pytest.raises(CollectError, match=r"the end$") as caught:
        run_command(shell(f"{noise}; exit 1"), "number", ENOUGH)
    assert len(str(caught.value)) < 5000


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
@pytest.mark.parametrize("line", ["echo 42", "exit 1", "sleep 3600", "head -c 100000 /dev/zero"])
def test_a_command_leaves_no_open_files_behind(line):
    before = set(os.listdir("/proc/self/fd"))
    with suppress(CollectError):
        run_command(shell(line), "number", TIMEOUT)
    assert set() == set(os.listdir("/proc/self/fd")) - before  # those of earlier tests may be closed meanwhile
