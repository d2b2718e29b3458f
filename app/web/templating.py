"""Renders Jinja pages with the context that every template may rely on.

Context: `user` (Principal or None), `language`, `languages`, `_` (translate), `nonce`, `path`, `here` (path and
query), `version`, `base` (the path that the studio is under), `asset` (address of a static file), `can_play` (whether
music can be heard).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from babel.dates import format_timedelta
from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from app.database import now
from app.i18n import LANGUAGES, language_of, translate, translations
from app.media.sound import can_play
from app.settings import ROOT
from app.version import VERSION

filters: dict[str, Callable[[str], Callable[..., Any]]] = {}  # of features, by name: each makes one for a language


@cache
def environment(language: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters["ago"] = lambda moment: ago(moment, language)
    made.filters["bytes"] = size
    made.filters["ticked"] = ticked
    made.filters["duration"] = lambda seconds: duration(seconds, language)
    # For texts that come from elsewhere: unlike `_()` it neither formats nor trusts them.
    made.filters["t"] = partial(translate, language)
    made.filters |= {name: make(language) for name, make in filters.items()}
    return made


def ticked(text: str) -> Markup:
    """What stands between backticks is code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def asset(base: str, path: str) -> str:
    """Address of a static file that changes when the file does."""
    return f"{base}/static/{path}?v={int(os.stat(ROOT / 'static' / path).st_mtime)}"


def ago(moment: datetime | None, language: str) -> str:
    if moment is None:
        return ""
    return format_timedelta(moment - now(), add_direction=True, locale=language.replace("-", "_"))


def duration(seconds: float, language: str) -> str:
    return format_timedelta(timedelta(seconds=seconds), locale=language.replace("-", "_"), threshold=2)


def size(number: int) -> str:
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def render(request: Request, name: str, context: dict[str, Any] | None = None, status: int = 200) -> HTMLResponse:
    """A page that answers a form gives the `path` of what it shows, which a switch of the language comes back to."""
    language = language_of(request)
    path = (context or {}).get("path", request.url.path)
    values = {
        "user": getattr(request.state, "user", None),
        "language": language,
        "languages": LANGUAGES,
        "nonce": getattr(request.state, "nonce", ""),
        "path": path,
        "here": path + (f"?{request.url.query}" if request.url.query and request.method == "GET" else ""),
        "version": VERSION,
        "base": (base := getattr(request.state, "base", "")),
        "asset": partial(asset, base),
        "can_play": can_play,
        "request_id": getattr(request.state, "id", ""),
        **(context or {}),
    }
    page = HTMLResponse(environment(language).get_template(name).render(values), status_code=status)
    page.headers["Content-Language"] = language
    page.headers["Vary"] = "Accept-Language, Cookie"
    return page
