"""Origins, redirects, ids, cursors."""

import pytest

from app import security
from app.database import new_id
from app.datasets.collections import emoji, emojibase
from app.errors import Forbidden, Invalid
from app.web import paging


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:x",
        "/a\r\nSet-Cookie: x",
        "\\\\evil",
    ],
)
def test_redirects_stay_on_this_site(target: str | None) -> None:
    assert security.local_path(target) == "/"


def test_a_local_path_is_kept() -> None:
    assert security.local_path("/create?model=x") == "/create?model=x"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"origin": "http://evil.example", "host": "127.0.0.1:8000"},
        {"origin": "http://127.0.0.1:9000", "host": "127.0.0.1:8000"},
    ],
)
def test_unsafe_requests_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        security.check_origin("POST", headers)
    security.check_origin("GET", headers)


def test_unsafe_requests_of_our_pages_and_of_programs_pass() -> None:
    for headers in ({}, {"sec-fetch-site": "same-origin"}, {"origin": "http://a:1", "host": "a:1"}):
        security.check_origin("POST", headers)


def test_ids_sort_by_time_also_within_a_millisecond() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made) and len(set(made)) == 5000


def test_cursors_come_back_and_foreign_ones_are_refused() -> None:
    identifier = new_id()
    assert paging.decode(paging.encode(identifier)) == identifier
    for bad in ("x", "!!!!", "AAAA", "é" * 22, "A" * 100):
        with pytest.raises(Invalid):
            paging.decode(bad)


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("1F98A", "1F98A"),
        ("1F3C3-200D-2640-FE0F-200D-27A1-FE0F", "1F3C3"),
        ("1F468-200D-1F9B0", "1F9D1-200D-1F9B0"),
        ("1F469-200D-1F9B0", "1F9D1-200D-1F9B0"),
        ("1F44D-1F3FD", "1F44D"),
        ("1F46C", "1F46B"),
    ],
)
def test_variants_of_a_concept_share_a_group(code: str, group: str) -> None:
    assert emojibase.group_of(code) == group


def test_a_group_is_on_one_side_of_the_split_in_every_style() -> None:
    for code in ("1F426", "1F98A"):
        concept = emojibase.Concept(code, emojibase.group_of(code), 3, "x", [], "甲")
        sides = {emoji.split_of(concept, style) == "concept" for style in emoji.STYLES}
        assert len(sides) == 1
