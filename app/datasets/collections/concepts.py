"""What there is to draw: every emoji and icon as a concept with its names, and which concepts may be trained on.

Concepts whose drawings look alike or share a name are one cluster, and a cluster is on one side of the split, whatever
set a drawing is of. The tables beside this module were written for this collection: descriptions and everyday names of
emoji, the emoji that drawings of other sets show, and the icons that show a thing rather than an interface.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.datasets.collections import emojibase
from app.datasets.collections.colour_names import COLOURS
from app.datasets.collections.emoji import is_held_out
from app.datasets.collections.emojibase import normal, tidy

TABLES = Path(__file__).with_name("tables")
SMILEYS, SYMBOLS = 0, 8  # topics of emojibase
FACES = r"\b(face|grinning|smiling|rolling|star-struck|head|exploding)\b"  # yellow ones, which are much alike
SHOWN_SYMBOLS = re.compile(
    r"warning|radioactive|biohazard|no smoking|atom symbol|yin yang|peace symbol|infinity|recycling symbol|fleur-de-lis"
    r"|trident emblem|splatter|(red|orange|yellow|green|blue|purple|brown|black|white) circle"
    r"|(red|orange|yellow|green|blue|purple|brown) square|black large square|large (orange|blue) diamond"
    r"|red triangle pointed up|check mark|cross mark|sparkle|eight-pointed star|star and crescent"
)


@dataclass
class Concept:
    """One thing to draw. `id` is an emoji's hexcode, or the English name of what only icons show."""

    id: str
    label: str
    label_zh: str
    names: list[str] = field(default_factory=list)  # everyday ones, besides the label
    names_zh: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    tags_zh: list[str] = field(default_factory=list)
    description: str = ""
    description_zh: str = ""
    emoji: str = ""
    topic: int | None = None
    variants: str = ""  # the emoji that this one is a variant of: another gender or direction
    alike: str = ""  # another one whose drawings look much like this one's
    cluster: str = ""
    held_out: bool = False

    @property
    def called(self) -> set[str]:
        """Every name in both languages, as names are compared."""
        return {simple(name) for name in (self.label, self.label_zh, *self.names, *self.names_zh)} - {""}


@dataclass(frozen=True)
class Icon:
    """A drawing of a set of icons, and the concept that it shows."""

    set: str
    name: str
    concept: str


def simple(name: str) -> str:
    """As names are compared: without case, articles, punctuation and the words that only say how it is drawn."""
    name = re.sub(r"[^\w\s]", " ", name.lower())
    name = re.sub(r"\b(a|an|the|face|of)\b", " ", name) if not re.fullmatch(r"\s*face\s*", name) else name
    words = name.split()
    if words and len(words[-1]) > 3 and words[-1].endswith("s") and not words[-1].endswith("ss"):
        words[-1] = words[-1].removesuffix("s")
    return " ".join(words)


def uncoloured(name: str) -> str:
    return simple(" ".join(word for word in name.split() if word not in COLOURS and word != "white")) or simple(name)


def rows(name: str) -> Iterator[list[str]]:
    for line in (TABLES / name).read_text("utf-8").splitlines():
        yield line.split("\t")


def listed(text: str) -> list[str]:
    return [part for part in (p.strip() for p in re.split(r"[,，、]", text)) if part and part != "-"]


# --- emoji and icons ------------------------------------------------------------------------------------------------


def read_emoji(folder: Path) -> dict[str, Concept]:
    """Hexcode -> concept, without letters, signs, flags and clock faces but one."""
    described = {normal(code): words for code, *words in rows("emoji.tsv")}
    concepts: dict[str, Concept] = {}
    first: dict[str, str] = {}
    for emoji in emojibase.read_concepts(folder):
        if emoji.topic == SYMBOLS and not SHOWN_SYMBOLS.fullmatch(emoji.label):
            continue
        if re.search(r"o’clock$|-thirty$", emoji.label) and emoji.label != "three o’clock":
            continue
        code = normal(emoji.hexcode)
        concept = Concept(
            code,
            tidy(emoji.label),
            tidy(emoji.label_zh),
            tags=emoji.tags,
            tags_zh=emoji.tags_zh,
            emoji="".join(chr(int(point, 16)) for point in emoji.hexcode.split("-")),
            topic=emoji.topic,
            variants=first.setdefault(emoji.group, code),
        )
        if code in described and concept.variants == code:
            description, description_zh, names, names_zh, alike = described[code]
            concept = replace(
                concept,
                description=description,
                description_zh=description_zh,
                names=listed(names),
                names_zh=listed(names_zh),
                alike=normal(alike.strip()),
            )
        concepts[code] = concept
    return concepts


def read_icons(concepts: dict[str, Concept]) -> list[Icon]:
    """The icons that show a thing. Those of what no emoji shows become concepts of their own, in `concepts`."""
    by_name = {name: code for code, concept in reversed(concepts.items()) for name in concept.called}
    icons = []
    for set_name, name, label, label_zh, tags, tags_zh, emoji in rows("icons.tsv"):
        shown = normal("-".join(f"{ord(character):04X}" for character in emoji.strip()))
        same = shown in concepts and simple(label) in concepts[shown].called
        code = shown if same else by_name.setdefault(simple(label), label)
        if code not in concepts:
            concepts[code] = Concept(code, label, label_zh, tags=listed(tags), tags_zh=listed(tags_zh), alike=shown)
        icons.append(Icon(set_name, name, code))
    return icons


# --- the split ------------------------------------------------------------------------------------------------------


def split(concepts: dict[str, Concept]) -> None:
    """Put every concept into a cluster and say which clusters are held out.

    Together are variants of one emoji, concepts of one name or of one but for the colour, smileys, and those that look
    alike. A cluster is held out where all of its emoji are by the rule of the `emoji` collection. Then what is called
    by the name of something held out, or has that name within its own, is held out as well.
    """
    parent = {code: code for code in concepts}

    def root(code: str) -> str:
        while parent[code] != code:
            parent[code] = parent[parent[code]]
            code = parent[code]
        return code

    named: dict[str, str] = {}
    for code, concept in concepts.items():
        for other in (concept.variants, concept.alike):
            if other in parent:
                parent[root(code)] = root(other)
        for name in sorted(concept.called | {uncoloured(concept.label)}):
            parent[root(code)] = root(named.setdefault(name, code))
        if concept.topic == SMILEYS and re.search(FACES, concept.label):
            parent[root(code)] = root(named.setdefault("face", code))
    clusters: dict[str, list[Concept]] = defaultdict(list)
    for code, concept in concepts.items():
        concept.cluster = root(code)
        clusters[concept.cluster].append(concept)
    for members in clusters.values():
        emoji = {emojibase.group_of(concept.variants) for concept in members if concept.emoji}
        if emoji and all(is_held_out(group) for group in emoji):
            for concept in members:
                concept.held_out = True
    kept_names = held_out_names(concepts.values())
    for concept in concepts.values():
        concept.held_out = concept.held_out or any(says(name, kept_names) for name in concept.called)


def held_out_names(concepts: Iterable[Concept]) -> set[str]:
    return {name for concept in concepts if concept.held_out for name in concept.called}


def says(text: str, names: set[str]) -> bool:
    """Whether a text holds one of these names: as whole words, in Chinese from two characters on anywhere."""
    words = simple(text).split()
    spoken = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, min(i + 5, len(words)) + 1)}
    spoken |= {simple(word) for word in words}
    return bool(spoken & names) or any(len(n) > 1 and not n.isascii() and n in text for n in names)


def without_held_out(concept: Concept, names: set[str]) -> Concept:
    """A concept that is trained on, without the names of what is held out in its words."""
    return replace(
        concept,
        names=[n for n in concept.names if not says(n, names)],
        names_zh=[n for n in concept.names_zh if not says(n, names)],
        tags=[t for t in concept.tags if not says(t, names)],
        tags_zh=[t for t in concept.tags_zh if not says(t, names)],
        description="" if says(concept.description, names) else concept.description,
        description_zh="" if says(concept.description_zh, names) else concept.description_zh,
    )
