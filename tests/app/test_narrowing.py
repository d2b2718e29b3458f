"""Days of the gallery are those of whoever looks, from the first through the last."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from app.gallery.narrowing import Listed, narrowing

DAY = date(2026, 3, 29)


def listed(**given: Any) -> Listed:
    """It awaits nothing."""
    try:
        narrowing(**given).send(None)
    except StopIteration as end:
        found: Listed = end.value
        return found
    raise AssertionError("it waits for something")


def test_days_are_those_of_the_zone() -> None:
    made = listed(since=DAY, through=DAY, zone="Asia/Shanghai")
    assert made.wanted.since == datetime(2026, 3, 28, 16, tzinfo=UTC)
    assert made.wanted.until == datetime(2026, 3, 29, 16, tzinfo=UTC)
    assert made.query == {"since": "2026-03-29", "through": "2026-03-29", "zone": "Asia/Shanghai"}


def test_a_day_on_which_clocks_go_forward_has_23_hours() -> None:
    made = listed(since=DAY, through=DAY, zone="Europe/Berlin").wanted
    assert made.since and made.until and (made.until - made.since).total_seconds() == 23 * 3600


def test_zones_that_are_unknown_and_days_at_the_ends_of_time_fail_nothing() -> None:
    for zone in ("Mars/Olympus", "../../etc/passwd", "\ud800", None):
        assert listed(since=DAY, zone=zone).wanted.since == datetime(2026, 3, 29, tzinfo=UTC)
    for zone in ("Asia/Shanghai", "America/New_York"):
        made = listed(since=date.min, through=date.max, zone=zone).wanted
        assert made.since is not None and made.until is None


def test_the_address_of_a_list_says_only_what_narrows_it() -> None:
    assert listed(q="", model="", zone="Asia/Shanghai").query == {}
    made = listed(q="fox", favourite=True, order="oldest")
    assert made.query == {"q": "fox", "favourite": "true", "order": "oldest"}
