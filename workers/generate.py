"""Runs one batch of generation jobs: sample, store, finish. Every job of a batch ends on its own."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
import torch
from PIL import Image

from app.artworks.service import search_text, subject
from app.artworks.tables import Artwork, Source
from app.database import new_id, session_scope, storage_lock
from app.errors import Damaged, StorageFull
from app.generations.tables import Generation
from app.jobs.events import Event, PreviewEvent, ProgressEvent, StatusEvent, publish
from app.jobs.sweeper import MAX_ATTEMPTS
from app.media.provenance import png_with_provenance
from app.outages import outage
from app.storage import get_storage
from models.checkpoint import CheckpointError
from models.contract.sampling import Cancelled, Output, Previews, Request
from workers import crash_points, lease, loop, model_cache, shutdown
from workers.explore import explore_forever
from workers.inputs import InputMissing, read_picture, reason
from workers.lease import Heartbeat, Lease
from workers.provenance import provenance
from workers.shutdown import Stopping

BATCH = 16  # pictures sampled at once
FRESH_SECONDS = 1800.0  # a file is collected after an hour that nobody names it
FIRST_PREVIEW, NEXT_PREVIEW = 0.12, 0.25  # seconds: quick jobs need one, slow ones a few
PREVIEW_SHARE = 8  # a large batch is not slowed by its previews: they take a ninth of its time at most
BESIDE = (explore_forever,)
log = structlog.get_logger()


def prepare() -> None:
    model_cache.limit_threads()
    model_cache.warm()


def work_once(queue: str, worker: str) -> bool:
    """Claim and run one batch; False when nothing waited."""
    with session_scope() as session:
        leases = lease.claim(session, queue, worker, BATCH, model_cache.lacking())
    if not leases:
        return False
    loop.claimed()
    crash_points.reach("claimed")
    with Heartbeat(leases) as heartbeat:  # until the last of them is settled
        first = leases[0].row
        if (missing := model_cache.missing(first.model, first.checkpoint_sha256)) is not None:
            loop.patiently(lambda: release(leases, missing))
            return True
        for user in {taken.row.user_id for taken in leases}:
            theirs = [taken for taken in leases if taken.row.user_id == user]
            publish(user, *(StatusEvent(generation=taken.job, status="running") for taken in theirs))
        attempt(leases, heartbeat)
    return True


def attempt(leases: list[Lease[Generation]], heartbeat: Heartbeat) -> None:
    """Sample the jobs together; when that fails, one by one, so that one bad job does not take others along.

    Surroundings that fail are waited for, and what they cannot keep for now is not drawn again.
    """
    first = leases[0]
    bound = log.bind(jobs=[taken.job for taken in leases], requests=[taken.row.request_id for taken in leases])
    began = time.perf_counter()
    go_on = partial(is_wanted, leases)
    failed: tuple[str, bool] | None = None  # words alone: the exception holds the memory of what was tried
    try:
        outputs = loop.patiently(lambda: sample(leases, heartbeat), go_on)
        crash_points.reach("sampled")
        batch = sum(taken.row.count for taken in leases)
        for taken in leases:
            works = [outputs.pop(0) for _ in range(taken.row.count)]
            loop.patiently(lambda taken=taken, works=works: settle(taken, works, batch), go_on)  # type: ignore[misc]
        bound.info("batch_done", pictures=batch, milliseconds=round((time.perf_counter() - began) * 1000))
    except Cancelled:
        for taken in leases:
            loop.patiently(lambda taken=taken: settle(taken, [], 0))  # type: ignore[misc]
    except Stopping:
        release(leases)
    except CheckpointError as error:
        bound.error("checkpoint_failed", model=first.row.model, error=str(error))
        for taken in leases:
            fail(taken, f"The model {first.row.model} cannot be used: {error}", final=True)
    except Exception as error:
        if outage(error) and not isinstance(error, StorageFull):  # for longer than a job in hand waits: it queues again
            loop.patiently(lambda: release(leases))
            raise
        bound.exception("batch_failed")
        failed = reason(error), isinstance(error, InputMissing | Damaged | StorageFull)
    if failed is None:
        return
    torch.cuda.empty_cache()
    for taken in leases:
        if taken.state not in lease.GONE:
            if len(leases) > 1:
                attempt([taken], heartbeat)
            else:
                fail(taken, *failed)


def is_wanted(leases: list[Lease[Generation]]) -> bool:
    return any(taken.state == "held" for taken in leases)


def release(leases: list[Lease[Generation]], notice: str | None = None) -> None:
    """Back to the queue at no cost to the jobs."""
    for taken in leases:
        if taken.state in lease.GONE:
            continue
        with session_scope() as session:
            status = lease.put_back(session, taken, spare_attempt=True, notice=notice)
        taken.state = "settled"
        if status and notice is None:
            publish(taken.row.user_id, StatusEvent(generation=taken.job, status=status))


def sample(leases: list[Lease[Generation]], heartbeat: Heartbeat) -> list[Output]:
    """One output a picture, in the order of the jobs."""
    first = leases[0]
    params_class = model_cache.checkpoint(first.row.model).task(first.row.task).params
    sampler = model_cache.sampler(first.row.model, first.row.checkpoint_sha256)
    requests = []
    for taken in leases:
        params = params_class.model_validate(taken.row.params)
        images = [read_picture(image["sha256"]) for image in taken.row.inputs.get("images", [])]
        seed = taken.row.params["seed"]
        requests += [Request(taken.row.task, params, seed + i, images, i) for i in range(taken.row.count)]
    outputs: list[Output] = []
    watch = Watch(leases, heartbeat)
    while len(outputs) < len(requests):  # only a single job larger than the batch needs more than one turn
        part = requests[len(outputs) : len(outputs) + sampler.batch_size]
        watch.turns, watch.turn = -(-len(requests) // sampler.batch_size), len(outputs) // sampler.batch_size
        outputs += sampler.sample(part, watch.on_step)
    return outputs


@dataclass
class Watch:
    """What happens at every step: look for cancellation, report progress and now and then a preview."""

    leases: list[Lease[Generation]]
    heartbeat: Heartbeat
    turn: int = 0
    turns: int = 1
    _next: float = field(default_factory=lambda: time.monotonic() + FIRST_PREVIEW)

    def on_step(self, step: int, total: int, previews: Callable[[], Previews]) -> None:
        crash_points.reach("step")
        shutdown.check()
        self.heartbeat.look()
        if all(taken.state != "held" for taken in self.leases):
            raise Cancelled
        for taken in self.leases:
            taken.step, taken.total = self.turn * total + step, self.turns * total
        if time.monotonic() < self._next or step >= total:
            return
        began = time.monotonic()
        pictures = previews() if self.turns == 1 else []
        for taken in self.leases:
            events: list[Event] = [ProgressEvent(generation=taken.job, step=taken.step, total=taken.total)]
            own, pictures = pictures[: taken.row.count], pictures[taken.row.count :]
            events += [
                PreviewEvent(generation=taken.job, index=i, image=data_uri(pixels)) for i, pixels in enumerate(own)
            ]
            publish(taken.row.user_id, *events)
        ended = time.monotonic()
        self._next = ended + max(NEXT_PREVIEW, PREVIEW_SHARE * (ended - began))


def data_uri(pixels: Any) -> str:
    png = pixels.encode_png(Image.fromarray(pixels))
    return "data:image/png;base64," + base64.b64encode(png).decode()


def settle(taken: Lease[Generation], works: list[Output], batch: int) -> None:
    """Store a job's pictures, then one transaction: artworks and the end of the job, or neither."""
    if taken.state == "lost":
        return
    if taken.state == "cancelled" or not works:
        with session_scope() as session:
            ended = lease.end(session, taken, "cancelled")
        if ended:
            publish(taken.row.user_id, StatusEvent(generation=taken.job, status="cancelled"))
        taken.state = "settled"
        return
    kept = [encode(taken, index, work, batch) for index, work in enumerate(works)]
    get_storage().put_all([content for content, _ in kept])  # outside of the transaction: others write meanwhile
    stored_at = time.time()
    for _ in kept:
        crash_points.reach("stored")
    rows = [row for _, row in kept]
    with session_scope() as session:
        storage_lock(session)
        if time.time() - stored_at > FRESH_SECONDS:  # they may have been collected, as files that nobody named
            get_storage().put_all([content for content, _ in kept])
        if not lease.end(session, taken, "succeeded"):
            log.warning("finished_without_lease", job=taken.job)
            return
        session.add_all(rows)
        session.flush()
        sources = {image["artwork"] for image in taken.row.inputs.get("images", []) if "artwork" in image}
        session.add_all(Source(artwork_id=row.id, source_id=source) for row in rows for source in sorted(sources))
        session.flush()
        crash_points.reach("before_commit")
    taken.state = "settled"
    crash_points.reach("committed")
    publish(taken.row.user_id, StatusEvent(generation=taken.job, status="succeeded", artworks=[row.id for row in rows]))


def encode(taken: Lease[Generation], index: int, work: Output, batch: int) -> tuple[bytes, Artwork]:
    """A file with its provenance, and the row that will name it."""
    picture = Image.fromarray(work.pixels)
    made = provenance(
        model=taken.row.model,
        task=taken.row.task,
        checkpoint_sha256=taken.row.checkpoint_sha256,
        params=taken.row.params,
        inputs=taken.row.inputs,
        index=index,
        picture=picture,
        metadata={"batch": batch, **work.metadata},
    )
    content = png_with_provenance(picture, abroad(made))
    return content, Artwork(
        id=new_id(),
        user_id=taken.row.user_id,
        generation_id=taken.job,
        position=index,
        sha256=hashlib.sha256(content).hexdigest(),
        media_type="image/png",
        size_bytes=len(content),
        width=picture.width,
        height=picture.height,
        model=taken.row.model,
        task=taken.row.task,
        seed=made["seed"],
        provenance=made,
        text=search_text("", subject(taken.row.params, taken.row.model), []),
    )


def abroad(made: dict[str, Any]) -> dict[str, Any]:
    """As a file tells it that may go anywhere: what it was made from by content, not by the studio's ids."""
    if not (images := made.get("inputs", {}).get("images")):
        return made
    return {**made, "inputs": {"images": [{"sha256": image["sha256"]} for image in images]}}


def fail(taken: Lease[Generation], why: str, final: bool = False) -> None:
    """Back to the queue while attempts are left, else failed with a reason."""

    def end() -> str | None:
        with session_scope() as session:
            if final or taken.attempt >= MAX_ATTEMPTS:
                return "failed" if lease.end(session, taken, "failed", why) else None
            return lease.put_back(session, taken)

    status = loop.patiently(end)
    taken.state = "settled"
    if status:
        publish(
            taken.row.user_id,
            StatusEvent(generation=taken.job, status=status, error=why if status == "failed" else None),
        )
