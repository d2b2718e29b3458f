"""The collection of drawings: one split over all sets, captions that give nothing away, no near copies."""

import re
from pathlib import Path

import numpy as np

from app.datasets.collections import emojibase
from app.datasets.collections.concepts import (
    Concept,
    held_out_names,
    listed,
    rows,
    says,
    simple,
    split,
    without_held_out,
)
from app.datasets.collections.drawings import ICONS, PACKAGES, STYLES, NearDuplicates
from app.datasets.collections.parts import fraction
from app.datasets.collections.wording import CAPTIONS, Style, captions, one, one_zh

# Groups that the rule of the `emoji` collection holds out, and one that it does not.
PEAR, DONKEY, APPLE = "1F350", "1FACF", "1F34E"


def concepts(*more: Concept) -> dict[str, Concept]:
    """A pear, which is held out, an apple, which is not, and more."""
    known = [
        Concept(PEAR, "pear", "梨", ["pyrus"], emoji="🍐", variants=PEAR),
        Concept(APPLE, "red apple", "红苹果", ["apple"], tags=["fruit", "pear"], emoji="🍎", variants=APPLE),
        *more,
    ]
    made = {concept.id: concept for concept in known}
    split(made)
    return made


def test_the_rule_is_that_of_the_emoji_collection() -> None:
    assert fraction("danqing-emoji-1", PEAR) < 0.05 <= fraction("danqing-emoji-1", APPLE)
    made = concepts()
    assert made[PEAR].held_out
    assert not made[APPLE].held_out


def test_an_icon_of_the_same_name_is_held_out_whatever_its_set() -> None:
    made = concepts(
        Concept("Pears", "Pears", "梨子"), Concept("a pear tree", "a pear tree", "树"), Concept("x", "x", "梨")
    )
    assert all(made[name].held_out for name in ("Pears", "a pear tree", "x"))


def test_what_looks_like_something_trained_on_is_trained_on() -> None:
    """A cluster is held out only where all of its emoji are."""
    made = concepts()
    assert made[PEAR].cluster != made[APPLE].cluster
    alike = concepts(Concept("1F34F", "green apple", "青苹果", alike=PEAR, emoji="🍏", variants="1F34F"))
    assert alike["1F34F"].cluster == alike[PEAR].cluster == alike[APPLE].cluster  # by colour, and by look
    assert not any(concept.held_out for concept in alike.values())


def test_captions_of_the_training_do_not_name_what_is_held_out() -> None:
    made = concepts(Concept("basket", "basket", "篮子", tags=["fruit"], description="a basket with pears", topic=None))
    names = held_out_names(made.values())
    assert without_held_out(made[APPLE], names).tags == ["fruit"]
    assert without_held_out(made["basket"], names).description == ""


def test_names_are_compared_without_case_articles_and_plurals() -> None:
    assert simple("The Cat Face") == simple("cats") == "cat"
    assert says("a bowl of pears", {"pear"})
    assert not says("a pearl", {"pear"})
    assert says("一个梨子图案", {"梨子"})
    assert listed("frog, toad，青蛙、-") == ["frog", "toad", "青蛙"]


def test_captions_are_in_both_languages_short_and_long_and_always_the_same() -> None:
    concept = Concept(
        "1F438", "frog", "青蛙", ["toad"], ["蛤蟆"], ["animal"], ["动物"], "a green frog", "一只绿色的青蛙", "🐸", 3
    )
    texts = captions(concept, STYLES["noto"], "green", 0.35, "seed")
    assert texts == captions(concept, STYLES["noto"], "green", 0.35, "seed")
    assert len(texts) == CAPTIONS
    assert "🐸" in texts[-2]
    assert sum(bool(re.search("[一-鿿]", text)) for text in texts) in (7, 8, 9)
    assert any("a green frog" in text for text in texts)
    assert any("noto style" in text for text in texts)
    assert any("style" not in text and "风格" not in text for text in texts)


def test_articles_are_of_one_thing() -> None:
    assert [one(phrase) for phrase in ("apple", "two tickets", "cross")] == ["an apple", "two tickets", "a cross"]
    assert [one_zh("一个", phrase) for phrase in ("苹果", "三个人")] == ["一个苹果", "三个人"]


def test_icons_always_say_how_they_are_drawn() -> None:
    concept = Concept("lamp post", "lamp post", "路灯")
    for style in ICONS.values():
        assert all(style.name in text or style.name_zh in text for text in captions(concept, style, None, 0.35, "seed"))


def test_recoloured_drawings_say_the_new_colour_and_nothing_of_the_old() -> None:
    concept = Concept(
        "1F438", "frog", "青蛙", description="a green frog", description_zh="绿色的青蛙", emoji="🐸", topic=3
    )
    texts = captions(concept, Style("noto", "noto"), "purple", 1.0, "seed")
    assert all("purple" in text or "紫色" in text for text in texts)


def test_near_copies_are_found_among_one_style() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    other = np.roll(picture, 9, axis=1)
    near = NearDuplicates()
    assert near.is_new(picture, "noto")
    assert not near.is_new(np.clip(picture.astype(int) + 1, 0, 255).astype(np.uint8), "noto")
    assert near.is_new(picture, "twemoji")
    assert near.is_new(np.where(np.arange(64)[:, None, None] < 32, other, 255 - other).astype(np.uint8), "noto")


def test_the_tables_are_whole() -> None:
    emoji, names, icons = (list(rows(name)) for name in ("emoji.tsv", "emoji_names.tsv", "icons.tsv"))
    assert {len(row) for row in emoji} == {6}
    assert {len(row) for row in names} == {3}
    assert {len(row) for row in icons} == {7}
    for table, key in ((emoji, 1), (names, 2), (icons, 2)):
        assert len({tuple(row[:key]) for row in table}) == len(table)
    assert {row[0] for row in icons} == {package.name.removeprefix("@iconify-json/") for package in ICONS}
    assert all(re.search("[一-鿿]", row[3]) for row in icons)


def test_no_source_is_share_alike_or_limits_its_use() -> None:
    assert {package.license for package in PACKAGES} == {"Apache-2.0", "MIT", "CC-BY-4.0"}
    notice = (Path(__file__).parents[2] / "NOTICE").read_text("utf-8")
    assert [package.spec for package in PACKAGES if f"{package.name} {package.version}" not in notice] == []
    assert emojibase.EMOJIBASE in PACKAGES
