"""English and 简体中文: one catalogue of every string that people see."""

from __future__ import annotations

import gettext
import io
import re
from functools import cache
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from fastapi import Request

LANGUAGES = {"en": "English", "zh-CN": "简体中文"}
COOKIE = "danqing_language"
LONGEST = 400  # characters of a sentence; a pattern takes its time with a long text
FOLDER = Path(__file__).parent / "locales"


@cache
def catalogue(language: str) -> Catalog:
    """Read straight from the .po file: nothing to compile, nothing to forget."""
    path = FOLDER / f"{language}.po"
    if not path.exists():
        return Catalog()
    with path.open("rb") as source:
        return read_po(source, locale=Locale.parse(language, sep="-"))


@cache
def translations(language: str) -> gettext.NullTranslations:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Sentences of the catalogue with something in their midst, which is written {} there, and their translations.

    Those that say most come first: they may also fit one that says less.
    """
    known = [
        (message.id, message.string)
        for message in catalogue(language)
        if isinstance(message.id, str) and isinstance(message.string, str) and "{}" in message.id and message.string
    ]
    known.sort(key=lambda pair: len(pair[0].replace("{}", "")), reverse=True)
    return [(re.compile("(.+?)".join(map(re.escape, text.split("{}"))), re.DOTALL), shown) for text, shown in known]


def said(language: str, words: str | None) -> str:
    """What the studio says in English, errors above all, in the language; in English where that is not known."""
    if not words or len(words) > LONGEST:
        return words or ""
    if (translated := translations(language).gettext(words)) != words:
        return translated
    for pattern, sentence in patterns(language):
        if found := pattern.fullmatch(words):
            return sentence.format(*(said(language, part) for part in found.groups()))
    return words


def language_of(request: Request) -> str:
    """The switch (a cookie), else Accept-Language, else English."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    accepted = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    if any(tag.lower().startswith("zh") for tag in accepted[:1]):
        return "zh-CN"
    return negotiate_locale(accepted, list(LANGUAGES), sep="-") or "en"
