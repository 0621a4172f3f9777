"""Later releases that a machine is upgraded to, and what may be wrong with them."""

from __future__ import annotations

from tests.installers.site import SOURCE, Site

LOOKED_AT = "import sys, os, socket, time\nif '--version' in sys.argv or '--check-config' in sys.argv: sys.exit(0)\n"
BROKEN = LOOKED_AT + "sys.exit('I am broken')\n"
BROKEN_LATER = LOOKED_AT + (
    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
    "time.sleep(1)\nsys.exit('I am broken')\n"
)
HANGS = LOOKED_AT + "time.sleep(99)\n"


def new_release(site: Site, path: str, script: str | None = None, program: str = "publisher") -> str:
    """Copy the source in the machine to a later version, whose program is `script` if one is given."""
    site.machine.run("cp", "-R", SOURCE, path, check=True)
    module = f"{path}/defender_{program}/__init__.py"
    site.write(module, site.read(module).replace('__version__ = "', '__version__ = "9.'))
    if script is not None:
        site.write(f"{path}/amazon-defender-{program}", script)
    return path
