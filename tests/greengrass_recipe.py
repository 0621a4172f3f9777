"""What a recipe of a Greengrass V2 component is, as far as it decides whether one is taken.

By the recipe schema of the GDK (gdk/static/recipe_schema.json, looked at in 1.6.2, commit a662a92), AWS's recipe
reference (a version is a semantic one) and nucleus lite, which, unlike the GDK, tells capital letters from small ones.
https://github.com/aws-greengrass/aws-greengrass-gdk-cli
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

NAME = r"^[a-zA-Z0-9_.-]+$"
SEMANTIC = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
Whose = Literal["NONE", "OWNER", "ALL"]
Name = Annotated[str, Meta(pattern=NAME, max_length=128)]
Text = Annotated[str, Meta(min_length=1)]


class Permission(Struct, rename="pascal", forbid_unknown_fields=True):
    """Who may read and run an artifact; AWS's defaults, by which nothing in an artifact can be run directly."""

    read: Whose = "OWNER"
    execute: Whose = "NONE"


class Artifact(Struct, rename="pascal", forbid_unknown_fields=True):
    """A file that a core downloads."""

    uri: Annotated[str, Meta(pattern=r"^s3://[^/]+/.+[^/]$")]
    unarchive: Literal["NONE", "ZIP"] = "NONE"
    permission: Permission = field(default_factory=Permission)


class Step(Struct, rename="pascal", forbid_unknown_fields=True):
    """A step of a lifecycle, of what we use."""

    script: Text
    timeout: Annotated[int, Meta(gt=0)] = 120
    requires_privilege: bool = False
    setenv: dict[str, str] = {}


class Lifecycle(Struct, forbid_unknown_fields=True):
    """The steps that nucleus lite and the classic nucleus know; lite writes them in small letters."""

    install: Step
    run: Step


class Manifest(Struct, rename="pascal", forbid_unknown_fields=True):
    """What is done on a platform."""

    platform: dict[str, str]
    lifecycle: Lifecycle
    artifacts: Annotated[list[Artifact], Meta(min_length=1)]


class Configuration(Struct, rename="pascal", forbid_unknown_fields=True):
    """What the component is configured with."""

    default_configuration: dict[str, Any]


class Recipe(Struct, rename="pascal", forbid_unknown_fields=True):
    """A recipe."""

    recipe_format_version: Literal["2020-01-25"]
    component_name: Name
    component_version: Annotated[str, Meta(pattern=SEMANTIC, max_length=64)]
    manifests: Annotated[list[Manifest], Meta(min_length=1)]
    component_configuration: Configuration
    component_type: Literal["aws.greengrass.generic"] = "aws.greengrass.generic"
    component_description: str = ""
    component_publisher: str = ""
