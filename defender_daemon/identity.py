"""The identity: which thing this device reports for."""

from __future__ import annotations

from defender_daemon.config import Agent, Instance
from defender_daemon.errors import ConfigError
from device_defender.metrics import is_name

UNKNOWN_SERIAL = "000000000000"  # the CloudWatch publisher's default; good enough to try things out
PADDING = " \t\r\n\0"  # a device tree ends its serial number with a NUL
GIVE_NAME = "give agent.thing_name or agent.instance.serial instead, or run this as the service's user"
COMMAND_TIMEOUT = 30.0  # seconds; macOS's system_profiler takes several


def thing_name_of(agent: Agent, unknown_allowed: bool = False) -> str:
    """Return the thing name: `agent.thing_name`, or `prefix-serial` in lower case from `agent.instance`.

    Raises ConfigError for an impossible name, a command that fails or prints nothing, and (unless `unknown_allowed`)
    for a device that has been given no name at all.
    """
    if agent.thing_name is not None:
        return agent.thing_name
    if not (agent.instance.serial or agent.instance.command or unknown_allowed):
        raise ConfigError(["agent.thing_name is missing; give it, or agent.instance.serial, or agent.instance.command"])
    name = f"{agent.instance.prefix}-{serial_of(agent.instance)}".lower()
    if not is_name(name):
        raise ConfigError(
            [f"agent.instance makes the thing name {name!r}; it must be 1 to 128 of the characters a-z 0-9 : _ -"]
        )
    return name


def serial_of(instance: Instance) -> str:
    """Return `serial`, or else what `command` prints; raises ConfigError when that is nothing."""
    if instance.serial:
        return instance.serial
    return _run(instance.command) if instance.command else UNKNOWN_SERIAL


def _run(command: str) -> str:
    import subprocess  # here, because a device with a thing name does without it

    from defender_daemon.command_user import command_user, end

    whose = command_user()
    where = f"agent.instance.command {command!r}"
    try:
        # The CloudWatch publisher's configurations use pipes here.
        process = whose.start(command, shell=True, encoding="utf-8", errors="replace")  # noqa: S604
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"{where} cannot be run{whose}: {reason}; {GIVE_NAME}"]) from error
    with process:
        try:
            stdout, stderr = process.communicate(timeout=COMMAND_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ConfigError([f"{where} must end within {COMMAND_TIMEOUT:.0f} s, but it did not"]) from None
        finally:
            end(process)
    serial: str = stdout.strip(PADDING)
    if process.returncode != 0 or not serial:
        said = stderr.strip().splitlines()
        reason = f"failed with exit status {process.returncode}" if process.returncode else "printed nothing"
        reason += f" (run{whose})" if str(whose) else ""
        raise ConfigError([f"{where} must print a serial number, but it {reason}{': ' + said[-1] if said else ''}"])
    return serial
