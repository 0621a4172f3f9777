"""Documents: what things ask for certificates by and what they are answered, in AWS's words (JSON)."""

import json
from collections.abc import Mapping
from typing import Any, Optional, TypeVar

import msgspec

from defender_detect.authority.wishes import wish_text
from defender_detect.errors import RequestRefused

LARGEST = 16 * 1024  # bytes of a question; a request and a token have four
Document = TypeVar("Document")


class Creation(msgspec.Struct, frozen=True):
    """What CreateCertificateFromCsr takes."""

    certificateSigningRequest: str = ""  # noqa: N815 - AWS's name, as those below


class Registration(msgspec.Struct, frozen=True):
    """What RegisterThing takes; without a thing's name that of the certificate is meant."""

    certificateOwnershipToken: str = ""  # noqa: N815
    parameters: dict[str, str] = {}


class Reported(msgspec.Struct, frozen=True):
    """What a thing says of itself."""

    certificateId: Optional[str] = None  # noqa: N815


class State(msgspec.Struct, frozen=True):
    """The part of a shadow that a thing may change."""

    reported: Optional[Reported] = None


class Update(msgspec.Struct, frozen=True):
    """What an update of a shadow takes."""

    state: State = State()

    @property
    def certificate(self) -> Optional[str]:
        """The ID of the certificate that the thing says it uses."""
        return self.state.reported.certificateId if self.state.reported is not None else None


def read_question(payload: bytes, document: type[Document]) -> Document:
    """Read a question; raise RequestRefused for what is none."""
    if len(payload) > LARGEST:
        raise RequestRefused(400, "InvalidPayload", f"a question must have at most {LARGEST} bytes, got {len(payload)}")
    try:
        return msgspec.json.decode(payload or b"{}", type=document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(400, "InvalidPayload", f"the question must be JSON as AWS takes it: {error}") from error


def refusal(error: RequestRefused) -> bytes:
    """Return the answer to a question that is refused."""
    return encode({"statusCode": error.status, "errorCode": error.code, "errorMessage": str(error)})


def no_shadow() -> bytes:
    """Return the answer to whoever asks for a wish where there is none."""
    return encode({"code": 404, "message": "No shadow exists with name: 'rotation'"})


def shadow_of(wanted: int, now: float) -> bytes:
    """Return the shadow of a thing that is to renew its certificate."""
    wish = {"rotate": wish_text(wanted)}
    return encode({"state": {"desired": wish, "delta": wish}, "version": wanted, "timestamp": int(now)})


def delta_of(wanted: int, now: float) -> bytes:
    """Return what a thing that is connected is told of a new wish."""
    return encode({"state": {"rotate": wish_text(wanted)}, "version": wanted, "timestamp": int(now)})


def encode(document: Mapping[str, Any]) -> bytes:
    """Encode an answer."""
    return json.dumps(document).encode()
