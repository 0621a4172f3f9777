"""What is installed, as data: a product's names, parts and accounts; and where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/opt/aws")
COMMON = ("--wheelhouse", "--update-lists", "--python", "--prefix", "--dry-run", "--non-interactive")  # options


@dataclass(frozen=True)
class Companion:
    """A second program of a product, which is asked for: a service of its own, on the same configuration."""

    name: str  # of its script
    unit: str  # of systemd
    label: str = ""  # of its job of launchd
    has_script: bool = True  # or it is a command of the product's own
    oldest: tuple[int, int] = (3, 9)  # the Python that it needs
    imports: tuple[str, ...] = ()  # the packages that it cannot run without, besides the product's
    requirements: str = ""  # in the source tree, besides the product's
    lock: str = ""  # of those packages


@dataclass(frozen=True)
class Oneshot:
    """What runs beside a service now and then and ends: put in place where a configuration or an option wants it."""

    units: tuple[str, ...]  # of systemd
    enabled: tuple[str, ...]  # of them, what starts the others
    label: str = ""  # of a job of launchd; empty where there is none


@dataclass(frozen=True)
class Product:
    """A program with its service; everything that one program's installation has other than another's."""

    name: str  # of its script, its directory, its configuration without .json, and its command
    parts: tuple[str, ...]  # of the source tree that a device needs
    versioned: str  # the file of it that says __version__
    imports: tuple[str, ...]  # the packages that it cannot run without
    compiled: tuple[str, ...]  # what is compiled beforehand, because the service cannot write there
    options: tuple[str, ...]  # of its installer
    user: str  # whom it runs as on Linux
    units: tuple[str, ...]  # of systemd, in the order of their start
    account: str  # whom it runs as on a Mac; with a line in front, as macOS names accounts that are nobody's
    labels: tuple[str, ...]  # of jobs of launchd
    comment: str  # what an account is said to be for
    groups: tuple[str, ...] = ()  # that the user is in besides its own
    examples: tuple[str, str] = ("", "")  # of a configuration that the installer writes, for Linux and macOS
    companion: Companion | None = None
    template: str = ""  # the unit in place of the others where the configuration has shards
    oneshots: tuple[Oneshot, ...] = ()  # all that there can be
    requirements: str = "requirements.txt"  # in the source tree
    lock: str = "packages"  # of the packages that an index has
    retagged: str = "retagged"  # the lock of those whose wheels say Python 2; empty for none
    says_state: bool = True  # whether its configuration names the directory of its state


AT_FIRST_BOOT = ("amazon-defender-provision.service", "amazon-defender-provision.timer")
PROVISION = Oneshot(AT_FIRST_BOOT, enabled=AT_FIRST_BOOT)
ROTATION = Oneshot(
    ("amazon-defender-rotation.service", "amazon-defender-rotation.timer", "amazon-defender-rotation.path"),
    ("amazon-defender-rotation.timer", "amazon-defender-rotation.path"),
    label="com.amazonaws.amazon-defender-rotation",
)

PUBLISHER = Product(
    name="amazon-defender-publisher",
    parts=(
        "amazon-defender-publisher", "amazon-defender-cloudwatch", "defender_start.py", "device_defender",
        "defender_daemon", "defender_publisher", "defender_cloudwatch", "requirements.txt", "configs", "installers",
        "LICENSE",
    ),
    versioned="defender_publisher/__init__.py",
    imports=("AWSIoTPythonSDK", "cbor2", "msgspec", "psutil", "timeloop"),
    compiled=("defender_start.py", "device_defender", "defender_daemon", "defender_publisher", "defender_cloudwatch"),
    options=(
        "--bundle", "--claim", "--first-boot", "--forget-claim", "--endpoint", "--thing-name", "--serial",
        "--certificate", "--private-key", "--root-ca", "--port", "--config", "--replace", "--cloudwatch",
        "--no-cloudwatch", "--beside-greengrass", *COMMON,
    ),
    user="amazon-defender-publisher",
    units=("amazon-defender-publisher.service",),
    account="_amazon-defender",
    labels=("com.amazonaws.amazon-defender-publisher",),
    comment="AWS IoT Device Defender",
    examples=("amazon-defender-publisher-rpi.json", "amazon-defender-publisher-osx.json"),
    companion=Companion(
        "amazon-defender-cloudwatch", "amazon-defender-cloudwatch.service", "com.amazonaws.amazon-defender-cloudwatch"
    ),
    oneshots=(PROVISION, ROTATION),
)  # fmt: skip

DETECT = Product(
    name="amazon-defender-detect",
    parts=(
        "amazon-defender-detect", "defender_start.py", "device_defender", "defender_daemon", "defender_detect",
        "configs", "installers", "LICENSE",
    ),
    versioned="defender_detect/__init__.py",
    imports=("amqtt", "cbor2", "cryptography", "msgspec", "paho.mqtt", "rich"),
    compiled=("defender_start.py", "device_defender", "defender_daemon", "defender_detect"),
    options=("--directory", "--console", "--no-console", *COMMON),
    user="amazon-defender-detect",
    units=("amazon-defender-detect.service",),
    template="amazon-defender-detect@.service",
    account="",  # there is no installer for a Mac
    labels=(),
    comment="Device Defender Detect",
    requirements="defender_detect/requirements.txt",
    lock="detect",
    retagged="",
    says_state=False,
    companion=Companion(
        "amazon-defender-detect-console",
        "amazon-defender-detect-console.service",
        has_script=False,
        oldest=(3, 11),
        imports=("jinja2", "starlette", "uvicorn"),
        requirements="defender_detect/console-requirements.txt",
        lock="detect-console",
    ),
)  # fmt: skip


PRODUCTS = {product.name: product for product in (PUBLISHER, DETECT)}


@dataclass(frozen=True)
class Places:
    """Where everything of a product is; `prefix` is / but in tests."""

    product: Product
    prefix: Path

    def below(self, path: str | Path) -> Path:
        """Return a path of the system below the prefix."""
        return self.prefix / str(path).lstrip("/")

    @property
    def root(self) -> Path:
        """The directory of all but the state."""
        return self.below(ROOT / self.product.name)

    @property
    def etc(self) -> Path:
        """Configuration, certificate, key and roots."""
        return self.root / "etc"

    @property
    def config(self) -> Path:
        """The configuration in force."""
        return self.etc / f"{self.product.name}.json"

    @property
    def staged(self) -> Path:
        """What etc is going to hold."""
        return self.root / "etc.new"

    @property
    def before(self) -> Path:
        """What etc held before, until the new has started."""
        return self.root / "etc.old"

    @property
    def versions(self) -> Path:
        """The versions, each in a directory of its own."""
        return self.root / "versions"

    @property
    def current(self) -> Path:
        """The link to the version in force."""
        return self.root / "current"

    @property
    def previous(self) -> Path:
        """The link to the version that was in force before, until the new one has started."""
        return self.root / "previous"

    @property
    def command(self) -> Path:
        """What a person calls."""
        return self.root / "bin" / self.product.name

    @property
    def logs(self) -> Path:
        """What the service may write there."""
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        """What only one installer at a time has, until the next boot."""
        return self.below(f"/var/run/{self.product.name}.install")
