"""Claims, leases and the sweeper, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text, update

from app.artworks.tables import Artwork
from app.database import engine, new_id, now, session_scope
from app.generations import service as generations
from app.generations.tables import Generation
from app.generations.waiting import fail_waiting
from app.jobs import sweeper
from app.machines.tables import Worker
from app.security import Principal
from app.storage import get_storage
from app.upkeep import garbage, trash, turns
from app.upkeep.tables import Upkeep
from app.uploads import service as uploads
from app.uploads.tables import Upload
from app.users.tables import User
from workers import lease, model_cache

pytestmark = pytest.mark.usefixtures("in_process")


def add_user(name: str) -> str:
    with session_scope() as session:
        user = User(name=name, name_key=name, role="artist")
        session.add(user)
        session.flush()
        return user.id


def principal(user: str) -> Principal:
    return Principal(user, "somebody", "artist", "key")


def add_job(user: str, **values: Any) -> str:
    with session_scope() as session:
        job = Generation(
            **{
                "user_id": user,
                "model": "m",
                "task": "t",
                "checkpoint_sha256": "c",
                "params": {"seed": 1},
                "count": 1,
                "request_hash": "h",
                "cost": values.get("count", 1),
                **values,
            }
        )
        session.add(job)
        session.flush()
        return job.id


def claim(capacity: int = 1, queue: str = "generation") -> list[lease.Lease[Generation]]:
    with session_scope() as session:
        return lease.claim(session, queue, "worker", capacity)


def row(job: str) -> Generation:
    with session_scope(writing=False) as session:
        return session.get_one(Generation, job)


def test_an_artists_small_job_is_not_stuck_behind_anothers_hundred() -> None:
    busy, quiet = add_user("busy"), add_user("quiet")
    many = [add_job(busy) for _ in range(100)]
    small = add_job(quiet)
    order = [claim()[0].job for _ in range(4)]
    assert order == [many[0], small, many[1], many[2]]


def test_priority_comes_before_turns() -> None:
    one, two = add_user("one"), add_user("two")
    add_job(one)
    urgent = add_job(two, priority=5)
    assert claim()[0].job == urgent


def test_the_place_in_the_queue_is_when_a_job_is_claimed() -> None:
    users = [add_user(name) for name in ("one", "two", "three", "new")]
    for user in users[:3]:
        add_job(user)
        claim()  # served in this order
    mine = [add_job(users[1]), add_job(users[1]), add_job(users[1], priority=0)]
    for user, jobs in ((users[0], 2), (users[2], 1), (users[3], 5)):
        for _ in range(jobs):
            add_job(user)
    with session_scope(writing=False) as session:
        said = generations.queue_positions(session, generations.unfinished(session, principal(users[1])))
    order = [claim()[0].job for _ in range(11)]
    assert said == {job: order.index(job) for job in order if job in said} and set(mine) == said.keys()


def test_jobs_that_fit_are_claimed_together_up_to_the_capacity() -> None:
    user, other = add_user("one"), add_user("two")
    first = add_job(user, count=2)
    alike = [add_job(other, count=4), add_job(user, count=1)]
    add_job(user, model="another")
    too_large = add_job(other, count=14)
    claimed = claim(capacity=16)
    assert {taken.job for taken in claimed} == {first, *alike}
    assert sum(taken.row.cost for taken in claimed) <= 16
    assert row(too_large).status == "queued"


def test_many_workers_at_once_never_claim_a_job_twice() -> None:
    user = add_user("one")
    jobs = {add_job(user) for _ in range(24)}
    taken: list[str] = []

    def work() -> None:
        for _ in range(12):
            taken.extend(one.job for one in claim(capacity=2))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == sorted(jobs)


def test_a_worker_that_lost_its_lease_changes_nothing() -> None:
    job = add_job(add_user("one"))
    (old,) = claim()
    with session_scope() as session:
        session.execute(update(Generation).values(lease_until=now() - timedelta(seconds=1)))
    with session_scope() as session:
        sweeper.reap(session, Generation)
    (new,) = claim()
    with session_scope() as session:
        assert not lease.end(session, old, "succeeded")
    lease.renew([old])
    assert old.state == "lost" and row(job).token == new.token and row(job).attempt == 2
    with session_scope() as session:
        assert lease.end(session, new, "succeeded")


def test_the_third_expired_lease_fails_the_job_with_a_reason() -> None:
    job = add_job(add_user("one"))
    for attempt in (1, 2, 3):
        assert claim()[0].attempt == attempt
        with session_scope() as session:
            session.execute(update(Generation).values(lease_until=now() - timedelta(seconds=1)))
        with session_scope() as session:
            sweeper.reap(session, Generation)
    assert row(job).status == "failed" and "three times" in (row(job).error or "")
    assert claim() == []


def test_renewing_reads_the_wish_to_cancel_and_extends_the_lease() -> None:
    job = add_job(add_user("one"))
    (held,) = claim()
    before = row(job).lease_until
    held.step, held.total = 3, 10
    lease.renew([held])
    after = row(job)
    assert after.lease_until is not None and before is not None and after.lease_until > before
    assert (after.step, after.total, held.state) == (3, 10, "held")
    with session_scope() as session:
        session.execute(update(Generation).values(cancel_requested=True))
    lease.renew([held])
    assert held.state == "cancelled"


def test_a_worker_that_leaves_gives_back_at_no_cost() -> None:
    job = add_job(add_user("one"))
    claim()
    assert lease.release_all("worker") == 1
    assert (row(job).status, row(job).attempt) == ("queued", 0)


def test_a_job_to_be_cancelled_ends_when_its_worker_gives_it_back() -> None:
    job = add_job(add_user("one"))
    claim()
    with session_scope() as session:
        session.execute(update(Generation).values(cancel_requested=True))
    lease.release_all("worker")
    assert row(job).status == "cancelled" and row(job).finished_at is not None


def test_a_clock_that_was_set_back_does_not_keep_a_dead_workers_job() -> None:
    job = add_job(add_user("one"))
    claim()
    with session_scope() as session:
        session.execute(update(Generation).values(lease_until=now() + timedelta(hours=1)))
    with session_scope() as session:
        sweeper.reap(session, Generation)
    assert row(job).status == "queued"


def test_an_expired_lease_of_a_job_to_be_cancelled_ends_it() -> None:
    job = add_job(add_user("one"))
    claim()
    with session_scope() as session:
        session.execute(update(Generation).values(lease_until=now() - timedelta(seconds=1), cancel_requested=True))
    with session_scope() as session:
        sweeper.reap(session, Generation)
    assert row(job).status == "cancelled"


def test_garbage_collection_takes_only_old_files_that_no_row_names() -> None:
    user = add_user("one")
    kept, lost = get_storage().put(b"kept"), get_storage().put(b"lost")
    with session_scope() as session:
        session.add(
            Artwork(
                id=new_id(),
                user_id=user,
                sha256=kept,
                media_type="image/png",
                size_bytes=4,
                model="m",
                task="t",
                provenance={},
            )
        )
    assert garbage.collect_garbage(turns.Turn("")) == 0, "young files stay"
    assert garbage.collect_garbage(turns.Turn(""), untouched_seconds=-1) == 1
    assert get_storage().get(kept) == b"kept"
    with pytest.raises(FileNotFoundError):
        get_storage().get(lost)


def test_uploads_that_no_job_took_are_forgotten_after_days() -> None:
    user = add_user("one")

    def add(days: int, used: bool) -> str:
        with session_scope() as session:
            upload = Upload(user_id=user, sha256="0" * 64, media_type="image/png", size_bytes=1, width=1, height=1)
            upload.label, upload.created_at = "", now() - timedelta(days=days)
            session.add(upload)
            session.flush()
            if used:
                uploads.mark_used(session, {upload.id})
            return upload.id

    old, young, used = add(8, False), add(6, False), add(99, True)
    assert trash.drop_unused_uploads() == 1
    with session_scope(writing=False) as session:
        assert set(session.scalars(select(Upload.id))) == {young, used} and old not in (young, used)


def test_an_artwork_cannot_be_shown_twice() -> None:
    user = add_user("one")
    job = add_job(user)
    for _ in range(2):
        try:
            with session_scope() as session:
                session.add(
                    Artwork(
                        user_id=user,
                        generation_id=job,
                        position=0,
                        sha256="0" * 64,
                        size_bytes=1,
                        media_type="image/png",
                        model="m",
                        task="t",
                        provenance={},
                    )
                )
        except Exception as error:
            assert "UNIQUE" in str(error).upper()
    with session_scope(writing=False) as session:
        assert session.scalar(select(func.count(Artwork.id))) == 1


# --- a claim reads little -------------------------------------------------------------------------------------------


def add_many(user: str, number: int, **values: Any) -> None:
    row = {"user_id": user, "model": "m", "task": "t", "checkpoint_sha256": "c", "params": {}, "count": 1}
    with session_scope() as session:
        session.execute(insert(Generation), [{**row, "request_hash": "h", **values} for _ in range(number)])
    with session_scope() as session:
        session.execute(text("ANALYZE"))


def plans(work: Callable[[], object]) -> list[str]:
    """How the database reads for every query of `work`, a text each."""
    queries: list[tuple[str, Any]] = []

    def remember(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "WITH")) and "generations" in statement:
            queries.append((statement, parameters))

    event.listen(engine(), "before_cursor_execute", remember)
    try:
        work()
    finally:
        event.remove(engine(), "before_cursor_execute", remember)
    explain = "EXPLAIN QUERY PLAN " if engine().dialect.name == "sqlite" else "EXPLAIN "
    with engine().connect() as connection:
        return [
            "\n".join(str(row) for row in connection.exec_driver_sql(explain + query, parameters))
            for query, parameters in queries
        ]


def test_a_claim_reads_a_few_entries_of_an_index_however_long_the_queue_is() -> None:
    users = [add_user(f"user {number}") for number in range(5)]
    for user in users:
        add_many(user, 2000)
        add_many(user, 500, model="another", priority=1)
    found = plans(lambda: claim(capacity=16))
    assert len(found) >= 4
    for plan in found:
        assert "ix_generations_" in plan, plan
        assert "SCAN generations" not in plan and "Seq Scan on generations" not in plan, plan


@pytest.mark.parametrize("in_process", ["sqlite"], indirect=True)
def test_a_claim_is_no_more_work_when_the_queue_is_ten_times_as_long() -> None:
    """Counted in steps of SQLite's virtual machine: no clock is asked."""
    users = [add_user(f"user {number}") for number in range(5)]
    steps = []
    for more in (300, 2700):
        for user in users:
            add_many(user, more)
        steps.append(steps_of(lambda: claim(capacity=16)))
    assert steps[1] < 1.5 * steps[0], steps


def steps_of(work: Callable[[], object]) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    def listen(connection: Any, *_: object) -> None:
        connection.set_progress_handler(count, 1)

    event.listen(engine(), "checkout", listen)
    try:
        work()
    finally:
        event.remove(engine(), "checkout", listen)
        engine().dispose()
    return counted


def test_a_claim_finds_the_next_job_among_thousands_of_others() -> None:
    busy, quiet = add_user("busy"), add_user("quiet")
    add_many(busy, 3000)
    urgent = add_job(quiet, priority=3)
    last = add_job(quiet)
    assert claim()[0].job == urgent
    assert claim()[0].row.user_id == busy, "who has had less is next"
    assert last in [claim()[0].job for _ in range(2)], "then they are even"
    batch = claim(capacity=16)
    assert len(batch) == 16 and {taken.row.user_id for taken in batch} == {busy}


def test_a_worker_leaves_jobs_of_a_checkpoint_that_it_lacks_to_others() -> None:
    user = add_user("one")
    add_job(user, model="elsewhere", checkpoint_sha256="x")
    here = add_job(user)
    with session_scope() as session:
        taken = lease.claim(session, "generation", "worker", 16, {("elsewhere", "x")})
    assert [one.job for one in taken] == [here]
    assert claim()[0].row.model == "elsewhere", "another worker takes it"


def test_a_new_job_of_a_model_that_another_worker_has_loaded_is_left_to_it_for_a_while() -> None:
    user = add_user("artist")
    large, small = add_job(user, model="large"), add_job(user, model="small")
    with session_scope() as session:
        (taken,) = lease.claim(session, "generation", "cold", 1, elsewhere={"large": 8.0})
        assert taken.job == small
        assert not lease.claim(session, "generation", "cold", 1, elsewhere={"large": 8.0})
        session.execute(
            update(Generation).where(Generation.id == large).values(created_at=now() - timedelta(seconds=9))
        )
    with session_scope() as session:
        (taken,) = lease.claim(session, "generation", "cold", 1, elsewhere={"large": 8.0})
        assert taken.job == large, "fairness ends it"


def test_only_models_that_take_long_to_load_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "footprint", lambda found: 4e9 if found.name == "pixel-faces" else 1e6)
    monkeypatch.setattr(model_cache, "loaded", lambda: ["open-peeps"])
    reports = {"me": ["pixel-faces"], "other": ["pixel-faces", "emoji-mixing", "open-peeps", "gone"]}
    with session_scope() as session:
        for name, models in reports.items():
            session.add(
                Worker(
                    name=name,
                    queue="generation",
                    device="cpu",
                    memory_total=1,
                    memory_used=1,
                    models=models,
                    machine=name,
                    process=1,
                )
            )
    model_cache.footprint_of.cache_clear()
    assert model_cache.loaded_elsewhere("generation", "me") == {"pixel-faces": 8.0}
    assert model_cache.loaded_elsewhere("training", "me") == {}
    model_cache.footprint_of.cache_clear()


def test_a_job_that_is_released_says_why_it_waits_and_loses_no_attempt() -> None:
    user = add_user("one")
    job = add_job(user)
    for _ in range(5):
        (taken,) = claim()
        with session_scope() as session:
            assert lease.release(session, taken, spare_attempt=True, notice="No worker has it") == "queued"
    assert (row(job).attempt, row(job).notice) == (0, "No worker has it")
    claim()
    assert row(job).notice is None, "once it is drawn it waits no more"


def test_jobs_of_weights_that_are_gone_end_and_those_of_the_new_ones_stay() -> None:
    user = add_user("one")
    old, new = add_job(user, checkpoint_sha256="old"), add_job(user, checkpoint_sha256="new")
    with session_scope() as session:
        assert [job.id for job in fail_waiting(session, "m", "It was replaced", but="new")] == [old]
    assert (row(old).status, row(old).error, row(new).status) == ("failed", "It was replaced", "queued")


# --- upkeep ---------------------------------------------------------------------------------------------------------


def test_upkeep_is_done_by_one_process_at_a_time_and_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = sorted(get_storage().put(f"file {number}".encode()) for number in range(30))
    with turns.turn("files") as first:
        assert first is None, "it is due after a while, not at the first start"
    monkeypatch.setattr(garbage, "PAGE", 10)
    with turns.turn("files", timedelta(0)) as mine:
        assert mine is not None
        with turns.turn("files", timedelta(0)) as other:
            assert other is None, "somebody has it"
        assert garbage.collect_garbage(mine, untouched_seconds=-1, turn_seconds=0) == 10
        assert mine.cursor == digests[9] and not mine.finished
    with turns.turn("files") as again:  # it is not done: it goes on at once
        assert again is not None and again.cursor == digests[9]
        assert garbage.collect_garbage(again, untouched_seconds=-1) == 20
    with turns.turn("files") as done:
        assert done is None, "now it is due after a while"


def test_the_turn_of_a_process_that_died_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    turns.take_turn("files", timedelta(0))
    assert turns.take_turn("files", timedelta(0)) is not None
    assert turns.take_turn("files", timedelta(0)) is None
    with session_scope() as session:
        session.execute(update(Upkeep).values(held_until=now() - timedelta(seconds=1)))
    assert turns.take_turn("files", timedelta(0)) is not None
