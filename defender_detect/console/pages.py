"""The pages: which address shows what, in which template; every text from outside is escaped there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import jinja2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from defender_daemon.dates import moment
from defender_daemon.text import printable
from defender_detect.console.alarms import VERDICTS, make_alarms
from defender_detect.console.entrance import Entrance, Identity
from defender_detect.console.exposition import CONTENT_TYPES, OPEN_METRICS, expose
from defender_detect.console.live import Watcher
from defender_detect.console.overview import make_overview
from defender_detect.console.profiles import make_profiles
from defender_detect.console.sight import RANGES, Sight
from defender_detect.console.thing import make_thing
from defender_detect.console.things import make_things, name_at
from defender_detect.console.wording import begin, name_metric, say_clock, say_length
from defender_detect.errors import NothingKept, StoreError, VerdictError
from defender_detect.store.summaries import Choice
from defender_detect.store.verdicts import LONGEST_DESCRIPTION, put_verdict_where_kept

HERE = Path(__file__).parent
LONGEST_WANTED = 128  # characters of a name
LARGEST_PAGE = 1_000_000

Show = Callable[[Sight, Request], tuple[str, Mapping[str, Any]]]


def make_app(sight: Sight, identity: Identity, watcher: Watcher) -> Entrance:
    """Return the pages behind their entrance; the watcher tells them of changes."""
    templates = make_templates()

    def page(show: Show) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            template, shown = show(sight, request)
            text = templates.get_template(template).render(path=request.url.path, **shown)
            return HTMLResponse(text)

        return answer

    def explain_failure(request: Request, error: Exception) -> Response:
        status, text = find_status(error)
        shown = {"status": status, "text": text, "path": request.url.path}
        return HTMLResponse(templates.get_template("failure.html").render(shown), status)

    routes = [
        Route("/", page(show_overview)),
        Route("/alarms", page(show_alarms)),
        Route("/things", page(show_things)),
        Route("/things/{name:path}", page(show_thing)),
        Route("/at", lambda request: find_thing(sight, request)),
        Route("/profiles", page(show_profiles)),
        Route("/verdicts/{violation_id:path}", lambda request: judge(sight, request), methods=["POST"]),
        Route("/metrics", lambda request: show_metrics(sight, request)),
        Route("/live", watcher.answer),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    failures = (HTTPException, StoreError, NothingKept, VerdictError)
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys(failures, explain_failure))
    return Entrance(app, identity, lambda is_wrong: templates.get_template("enter.html").render(is_wrong=is_wrong))


def make_templates() -> jinja2.Environment:
    """Return the templates, which escape whatever is put into them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., Any]] = {
        "clock": show_clock, "span": say_length, "metric": name_metric, "shown": printable, "segment": segment,
        "begun": begin, "grouped": "{:,}".format,
    }  # fmt: skip
    environment.filters.update(filters)
    environment.globals.update(ranges=list(RANGES), VERDICTS=VERDICTS, LONGEST=LONGEST_DESCRIPTION)
    environment.globals["zone"] = time.strftime("%Z")
    return environment


def show_overview(sight: Sight, request: Request) -> tuple[str, Mapping[str, Any]]:
    """Show the overview."""
    glance = sight.look(request.query_params.get("range", ""))
    return "overview.html", {"tab": "overview", "glance": glance, **make_overview(sight, glance)}


def show_things(sight: Sight, request: Request) -> tuple[str, Mapping[str, Any]]:
    """Show the things."""
    glance, query = sight.look(), request.query_params
    wanted = "".join(filter(str.isprintable, query.get("name", "")[:LONGEST_WANTED]))
    shown = make_things(sight, glance, wanted, query.get("state", ""), page_of(request))
    return "things.html", {"tab": "things", "glance": glance, **shown}


def show_thing(sight: Sight, request: Request) -> tuple[str, Mapping[str, Any]]:
    """Show one thing."""
    name, glance = request.path_params["name"], sight.look(request.query_params.get("range", ""))
    shown = make_thing(sight, glance, name)
    if shown is None:
        raise HTTPException(404, f"nothing is kept of a thing {printable(name)}")
    return "thing.html", {"tab": "things", "glance": glance, "name": name, **shown}


def show_alarms(sight: Sight, request: Request) -> tuple[str, Mapping[str, Any]]:
    """Show the alarms."""
    query = request.query_params
    choice = Choice(**{name: query[name] for name in Choice._fields if query.get(name)})
    shown = make_alarms(sight, choice, query.get("when") == "past", page_of(request))
    return "alarms.html", {"tab": "alarms", "glance": sight.look(), "here": here(request), **shown}


def show_profiles(sight: Sight, request: Request) -> tuple[str, Mapping[str, Any]]:
    """Show the profiles."""
    return "profiles.html", {"tab": "profiles", "glance": sight.look(), **make_profiles(sight)}


def find_thing(sight: Sight, request: Request) -> Response:
    """Answer which thing a square stands for, by its place."""
    wanted = request.query_params.get("name", "")[:LONGEST_WANTED]
    name = name_at(sight, wanted, whole(request.query_params.get("place", ""), -1))
    return Response(name or "", media_type="text/plain", status_code=200 if name else 404)


def show_metrics(sight: Sight, request: Request) -> Response:
    """Answer Prometheus, in the format that it asks for."""
    is_open = OPEN_METRICS in request.headers.get("accept", "")
    return Response(expose(sight, is_open), headers={"Content-Type": CONTENT_TYPES[is_open]})


def judge(sight: Sight, request: Request) -> Response:
    """Keep what somebody found a violation to be, and show again where that was said."""
    form = {name: values[0] for name, values in parse_qs(request.scope["body"].decode("utf-8", "replace")).items()}
    description = " ".join(form.get("description", "").split())
    directories, violation_id = [each.parent for each in sight.store.paths], request.path_params["violation_id"]
    put_verdict_where_kept(directories, violation_id, form.get("state", ""), description, sight.clock())
    where = form.get("here", "/alarms")
    is_ours = where.startswith(("/alarms", "/things/")) and "\\" not in where
    return RedirectResponse(where if is_ours else "/alarms", 303)


def find_status(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence for an error."""
    if isinstance(error, HTTPException):
        return error.status_code, "there is no such page" if error.detail == "Not Found" else str(error.detail)
    kinds: dict[type[Exception], int] = {NothingKept: 404, VerdictError: 400, StoreError: 503}
    return kinds.get(type(error), 503), printable(str(error))


def page_of(request: Request) -> int:
    """Return which page of a list is asked for."""
    return whole(request.query_params.get("page", ""), 1)


def whole(text: str, otherwise: int) -> int:
    """Return a whole number that somebody wrote into an address."""
    return min(int(text), LARGEST_PAGE) if text.isascii() and text.isdecimal() and len(text) < 10 else otherwise


def here(request: Request) -> str:
    """Return the address of the page, to come back to."""
    query = urlencode(list(request.query_params.multi_items()))
    return f"{request.url.path}?{query}" if query else request.url.path


def segment(name: str) -> str:
    """Return a name as a part of an address."""
    return quote(name, safe="")


def show_clock(seconds: float | None) -> Markup:
    """Return a time, for a person and for a program."""
    if seconds is None:
        return Markup("never")
    exact = f"{moment(seconds).isoformat()}Z"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, say_clock(seconds))
