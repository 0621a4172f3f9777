"""Network namespaces for tests: made by the thread that needs one, and gone with the last descriptor of it."""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import pytest

CLONE_NEWNET = 0x40000000  # linux/sched.h
NOBODY = 65534
OTHER_FILES = 500  # that a worker of the tests may have open besides
LOOP_PORTS = "1024 65000"  # local ports; the default 28,000 do not suffice for tens of thousands of connections

T = TypeVar("T")


@cache
def refusal() -> str | None:
    """Return why this process can make no network namespaces, or None if it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if shutil.which("ip") is None:
        return "network namespaces are set up by ip(8), of iproute2, which is not installed"
    try:
        Namespace().close()
    except OSError as error:
        return f"may make no network namespace, which needs root or `unshare --user --map-root-user` ({error})"
    return None


def has_user(user: int) -> bool:
    """Tell whether this process can become a user: only root can, and in a namespace of users there may be no other."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    return os.geteuid() == 0 and any(first <= user < first + count for first, _, count in ranges)


class Namespace:
    """A network namespace whose loopback is up and which has nothing else."""

    def __init__(self) -> None:
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _call("unshare", CLONE_NEWNET)
            self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            _call("setns", own, CLONE_NEWNET)
        finally:
            os.close(own)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread be in the namespace: what it opens and starts meanwhile stays there.

        In the main thread /proc/net shows the namespace, too; it is the one that /proc means by `self`.
        """
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _call("setns", self.descriptor, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", own, CLONE_NEWNET)
            os.close(own)

    def close(self) -> None:
        """Let go of the namespace; the kernel removes it when nobody is in it any more."""
        os.close(self.descriptor)


def ip(*arguments: object) -> None:
    """Run ip(8), in the namespace that this thread is in."""
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True, text=True)


def widen_port_range() -> None:
    """Let connections use nearly all ports, in the namespace that this thread is in."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
        file.write(LOOP_PORTS)


@contextmanager
def child(work: Callable[[int], None]) -> Iterator[int]:
    """Run `work(descriptor)` in a child process until the block ends; yield its id once it wrote to the descriptor.

    The descriptor is a pipe's, and the child is ended by its id whatever it does.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _in_child(lambda: work(writing))
    os.close(writing)
    try:
        if not os.read(reading, 1):
            raise RuntimeError("the child failed; its traceback is on standard error")
        yield pid
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def allow_files(count: int) -> None:
    """Let this process, and what it starts, have so many files open; skip the test where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
        except (OSError, ValueError):
            pytest.skip(f"needs {count} open files, and `ulimit -Hn` allows {hard}")


def connect_pairs(count: int, address: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of `count` connections over loopback, which are two rows of the kernel's table each."""
    allow_files(2 * count + OTHER_FILES)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen(4096)
        for _ in range(count):
            client = socket.socket(family)
            client.connect(listener.getsockname())
            yield client, listener.accept()[0]


def as_user(user: int, look: Callable[[], T]) -> T:
    """Return what `look` returns in a child process of another user's, without any privilege."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _in_child(lambda: _answer(writing, user, look))
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        content = answer.read()
    os.waitpid(pid, 0)
    if not content:
        raise RuntimeError("the child failed; its traceback is on standard error")
    return pickle.loads(content)  # type: ignore[no-any-return]


def _answer(writing: int, user: int, look: Callable[[], object]) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    with os.fdopen(writing, "wb") as answer:
        pickle.dump(look(), answer)


def _in_child(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _call(function: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
