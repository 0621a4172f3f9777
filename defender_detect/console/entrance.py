"""The entrance: who may see the pages. A token opens them once, a cookie from then on; Host and Origin must be ours.

The name in the request is checked because a web page elsewhere can make its own name mean this machine, and the origin
of what changes something because any page can send a form here.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 16_384  # bytes: a verdict of 1,000 characters, each escaped, and room
PATIENCE = 20.0  # seconds for the next part of a body
READING, CHANGING = ("GET", "HEAD"), ("POST",)
OPEN_PATHS = ("/static/", "/enter")  # what the page that asks for the token needs
BEARER_PATHS = ("/metrics",)  # what a program reads, with the token in a header
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # and not none: browsers send no Origin of a form then
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Identity(NamedTuple):
    """Under which addresses the pages are known, and what opens them."""

    token: str
    origins: frozenset[str]  # "http://127.0.0.1:8790"; a browser says one of them with each request that changes
    is_secure: bool  # by TLS, our own or a proxy's

    @property
    def hosts(self) -> frozenset[str]:
        """The names that a request may be for."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)

    @property
    def cookie(self) -> str:
        """The name of the cookie: one host's ports share cookies, and two consoles must not end each other's."""
        place = hashlib.sha256("".join(sorted(self.origins)).encode()).hexdigest()[:8]
        return f"{'__Host-' if self.is_secure else ''}detect-{place}"

    @property
    def session(self) -> str:
        """What the cookie holds: nobody who sees it learns the token."""
        return hmac.new(self.token.encode(), b"session", "sha256").hexdigest()

    def opens(self, token: str) -> bool:
        """Whether a token is the right one."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def knows(self, cookie_header: str) -> bool:
        """Whether a request comes from where the token was given before."""
        try:
            found = SimpleCookie(cookie_header).get(self.cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self.session.encode())


class Entrance:
    """Lets in who may, and puts the headers on every response that keep a browser from doing anything else."""

    def __init__(self, app: App, identity: Identity, ask: Callable[[bool], str]) -> None:
        """`ask` makes the page that asks for the token, after a wrong one or not."""
        self._app, self._identity, self._ask = app, identity, ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        kept = {"Cache-Control": "no-cache"} if scope["path"].startswith("/static/") else {}  # asked for by its ETag

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, **kept}.items():
                    headers.setdefault(name, value)
            await send(message)

        body = await read_body(scope, receive)
        answer = PlainTextResponse("the request is too large\n", 413) if body is None else self._check(scope, body)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
            return
        scope["body"] = body
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope, body: bytes) -> Response | None:
        """Return the answer to a request that is not handed on, None for one that is."""
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        if headers.get("host", "") not in self._identity.hosts:
            return PlainTextResponse("this address is not one of this console's: open the one that it printed\n", 421)
        if method not in READING + CHANGING:
            return PlainTextResponse("only GET and POST are known here\n", 405, {"Allow": "GET, HEAD, POST"})
        if method in CHANGING and headers.get("origin") not in self._identity.origins:
            return PlainTextResponse("this form was sent by another site\n", 403)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if method in CHANGING and path == "/enter":
            return self._enter(parse_qs(body.decode("latin-1")).get("token", [""])[0].strip(), "/")
        if "token" in query and method in READING:
            rest = {name: values for name, values in query.items() if name != "token"}
            return self._enter(query["token"][0], f"{path}?{urlencode(rest, doseq=True)}" if rest else path)
        if path.startswith(OPEN_PATHS) or self._identity.knows(headers.get("cookie", "")):
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if path in BEARER_PATHS and kind.lower() == "bearer" and self._identity.opens(token.strip()):
            return None
        return HTMLResponse(self._ask(False), 401)

    def _enter(self, token: str, where: str) -> Response:
        if not self._identity.opens(token):
            return HTMLResponse(self._ask(True), 403)
        local = where if where.startswith("/") and not where.startswith(("//", "/\\")) else "/"
        response = RedirectResponse(local, 303)
        response.set_cookie(
            self._identity.cookie, self._identity.session, path="/", httponly=True, samesite="strict",
            secure=self._identity.is_secure,
        )  # fmt: skip
        return response


async def read_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return what a form sent, None if that is too much; what is not to be read is never held in memory."""
    if scope["method"] not in CHANGING:
        return b""
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BODY:
        return None
    body = b""
    while True:
        try:
            message = await asyncio.wait_for(receive(), PATIENCE)
        except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
            return None
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BODY or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return body
