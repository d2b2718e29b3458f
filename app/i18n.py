"""English and 简体中文: one catalogue of every string that people see."""

from __future__ import annotations

import gettext
import io
from functools import cache
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from fastapi import Request

LANGUAGES = {"en": "English", "zh-CN": "简体中文"}
COOKIE = "danqing_language"
FOLDER = Path(__file__).parent / "locales"


@cache
def translations(language: str) -> gettext.NullTranslations:
    """Read straight from the .po file: nothing to compile, nothing to forget."""
    path = FOLDER / f"{language}.po"
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as source:
        catalogue = read_po(source, locale=Locale.parse(language, sep="-"))
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def language_of(request: Request) -> str:
    """The switch (a cookie), else Accept-Language, else English."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    accepted = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    if any(tag.lower().startswith("zh") for tag in accepted[:1]):
        return "zh-CN"
    return negotiate_locale(accepted, list(LANGUAGES), sep="-") or "en"
