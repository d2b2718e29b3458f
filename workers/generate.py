"""Runs one batch of generation jobs. Every job ends on its own, as soon as its own works are there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog

from app.database import session_scope
from app.errors import Damaged, StorageFull
from app.generations.tables import Generation
from app.jobs.events import Event, ProgressEvent, StatusEvent, publish
from app.outages import outage
from models.checkpoint import CheckpointError
from models.contract.message import Message
from models.contract.sampling import Cancelled, Output, Previews, Request, Sampler, SavesMemory, Unfit
from models.training.recovery import is_out_of_memory
from workers import crash_points, lease, loop, model_cache, shutdown
from workers.enlarge import enlarged
from workers.explore import explore_forever
from workers.inputs import InputMissing, read_inputs, reason
from workers.lease import Heartbeat, Lease
from workers.previews import preview
from workers.screening import hidden, measure_for, screened
from workers.settle import Made, fail, release, settle
from workers.shutdown import Stopping

CAPACITY = 16  # units of cost that are sampled at once
FIRST_PREVIEW, NEXT_PREVIEW = 0.12, 0.25  # seconds: quick jobs need one, slow ones a few
PREVIEW_SHARE = 8  # a large batch is not slowed by its previews: they take a ninth of its time at most
BESIDE = (explore_forever,)
log = structlog.get_logger()


def prepare() -> None:
    model_cache.limit_threads()
    model_cache.warm()


def work_once(queue: str, worker: str) -> bool:
    """Claim and run one batch; False when nothing waited."""
    elsewhere = model_cache.loaded_elsewhere(queue, worker)
    with session_scope() as session:
        leases = lease.claim(session, queue, worker, CAPACITY, model_cache.lacking(), elsewhere)
    if not leases:
        return False
    loop.claimed()
    crash_points.reach("claimed")
    with Heartbeat(leases) as heartbeat:  # until the last of them is settled
        if (missing := missing_for(leases)) is not None:
            loop.patiently(lambda: release(leases, missing))
            return True
        for user in {taken.row.user_id for taken in leases}:
            theirs = [taken for taken in leases if taken.row.user_id == user]
            publish(user, *(StatusEvent(generation=taken.job, status="running") for taken in theirs))
        attempt(leases, heartbeat)
    return True


def missing_for(leases: list[Lease[Generation]]) -> Message | None:
    """See `model_cache.missing`, of all models that the jobs need."""
    wanted = [(taken.row.model, taken.row.checkpoint_sha256) for taken in leases]
    enlarge = [taken.row.enlarge for taken in leases if taken.row.enlarge]
    wanted += [(each["model"], each["checkpoint_sha256"]) for each in enlarge]
    found = (model_cache.missing(*each) for each in dict.fromkeys(wanted))
    return next((why for why in found if why is not None), None)


def attempt(leases: list[Lease[Generation]], heartbeat: Heartbeat) -> None:
    """Sample the jobs together; when that fails, one by one, so that one bad job does not take others along.

    Surroundings that fail are waited for, and what they cannot keep for now is not drawn again.
    """
    bound = log.bind(jobs=[taken.job for taken in leases], requests=[taken.row.request_id for taken in leases])
    failed: tuple[Message, bool] | None = None  # words alone: the exception holds the memory of what was tried
    try:
        began = time.perf_counter()
        run(leases, heartbeat)
        works = sum(taken.row.count for taken in leases)
        bound.info("batch_done", works=works, milliseconds=round((time.perf_counter() - began) * 1000))
    except Stopping:
        release(leases)
    except CheckpointError as error:
        bound.error("checkpoint_failed", model=leases[0].row.model, error=str(error))
        for taken in leases:
            why = Message("The model {name} cannot be used: {reason}", name=taken.row.model, reason=error.message)
            fail(taken, why, final=True)
    except Exception as error:
        if outage(error) and not isinstance(error, StorageFull):  # for longer than a job in hand waits: it queues again
            loop.patiently(lambda: release(leases))
            raise
        bound.exception("batch_failed")
        final = isinstance(error, InputMissing | Unfit | Damaged | StorageFull) or is_out_of_memory(error)
        failed = reason(error), final
    if failed is None:
        return
    model_cache.give_memory_back()
    for taken in leases:
        if taken.state not in lease.GONE:
            if len(leases) > 1:
                attempt([taken], heartbeat)
            else:
                fail(taken, *failed)


@dataclass(frozen=True)
class Wanted:
    """One work of a job that is yet to be sampled."""

    taken: Lease[Generation]
    request: Request
    screening: str = "off"

    @property
    def cost(self) -> float:
        """What it takes of a batch: it is enlarged by itself."""
        row = self.taken.row
        return row.cost / row.count - float(row.enlarge.get("cost", 0))


def run(leases: list[Lease[Generation]], heartbeat: Heartbeat) -> None:
    """Sample what the jobs want in parts of CAPACITY, smaller each time that memory runs out, and slower at last."""
    go_on = partial(is_wanted, leases)
    first = leases[0].row
    sampler = loop.patiently(lambda: model_cache.sampler(first.model, first.checkpoint_sha256), go_on)
    wanted = loop.patiently(lambda: wanted_of(leases), go_on)
    made: dict[str, list[Made]] = {taken.job: [] for taken in leases}
    most = sampler.batch_size
    while wanted:
        for taken in leases:
            if taken.state != "held":
                loop.patiently(partial(settle, taken, []), go_on)
        wanted = [each for each in wanted if each.taken.state == "held"]
        part = part_of(wanted, most)
        if not part:
            return
        outputs = sampled(sampler, part, Watch(part, made, heartbeat))
        if outputs is None and not model_cache.make_room_beside(first.model):
            if len(part) > 1:
                most = len(part) // 2
            elif isinstance(sampler, SavesMemory) and sampler.save_memory():
                log.warning("memory_saved", model=first.model)
            else:
                raise MemoryError
        if not outputs:
            continue
        crash_points.reach("sampled")
        wanted = wanted[len(part) :]
        for each, output in zip(part, outputs, strict=True):
            if each.taken.state in lease.GONE:
                continue
            try:
                finished = screened(output, each.screening)
            except Unfit as error:  # it ends this job alone
                fail(each.taken, reason(error), final=True)
                continue
            finished = enlarged(finished, each.taken.row.enlarge, partial(look, each.taken, heartbeat))
            made[each.taken.job].append(Made(each.request, finished, len(part)))
        for taken in {each.taken.job: each.taken for each in part}.values():
            if taken.state not in lease.GONE and len(made[taken.job]) == taken.row.count:
                loop.patiently(partial(settle, taken, made.pop(taken.job)), go_on)


def is_wanted(leases: list[Lease[Generation]]) -> bool:
    return any(taken.state == "held" for taken in leases)


def wanted_of(leases: list[Lease[Generation]]) -> list[Wanted]:
    """One a work, in the order of the jobs. Raises InputMissing."""
    checkpoint = model_cache.checkpoint(leases[0].row.model)
    found = []
    for taken in leases:
        job = taken.row
        params = checkpoint.task(job.task).params.model_validate(job.params)
        inputs, screening, seed = read_inputs(job.inputs), measure_for(job.user_id), job.params["seed"]
        found += [Wanted(taken, Request(job.task, params, seed + i, inputs, i), screening) for i in range(job.count)]
    return found


def part_of(wanted: list[Wanted], most: int) -> list[Wanted]:
    """The first of these that fit together; one at least, however large it is."""
    part, cost = wanted[:1], sum(each.cost for each in wanted[:1])
    for each in wanted[1:most]:
        cost += each.cost
        if cost > CAPACITY:
            break
        part.append(each)
    return part


def sampled(sampler: Sampler, part: list[Wanted], watch: Watch) -> list[Output] | None:
    """One output each; none of them where nobody wants them any more; None when memory ran out."""
    try:
        return sampler.sample([each.request for each in part], watch.on_step)
    except Cancelled:
        return []
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.warning("out_of_memory", works=len(part), error=str(error)[:200])
    model_cache.give_memory_back()  # only here is the traceback, which holds the tensors of what was tried, gone
    return None


def look(taken: Lease[Generation], heartbeat: Heartbeat) -> None:
    """While a work is finished by itself. Raises Cancelled, Stopping."""
    shutdown.check()
    heartbeat.poll()
    if taken.state != "held":
        raise Cancelled


@dataclass
class Watch:
    """What happens at every step of a part: look for cancellation, report progress and now and then a preview."""

    part: list[Wanted]
    made: dict[str, list[Made]]
    heartbeat: Heartbeat
    _next: float = field(default_factory=lambda: time.monotonic() + FIRST_PREVIEW)

    def on_step(self, step: int, total: int, previews: Callable[[], Previews]) -> None:
        crash_points.reach("step")
        shutdown.check()
        self.heartbeat.poll()
        if all(each.taken.state != "held" for each in self.part):
            raise Cancelled
        leases = {each.taken.job: each.taken for each in self.part}
        for job, taken in leases.items():
            of_it = sum(each.taken is taken for each in self.part)
            whole = 1 if of_it == taken.row.count else taken.row.count
            taken.total = total * whole
            taken.step = step if whole == 1 else total * len(self.made[job]) + step * of_it
        if time.monotonic() < self._next or step >= total:
            return
        began = time.monotonic()
        events: dict[str, list[Event]] = {
            job: [ProgressEvent(generation=job, step=taken.step, total=taken.total)] for job, taken in leases.items()
        }
        for each, value in zip(self.part, previews(), strict=False):
            if shown := preview(each.taken.job, each.request.index, hidden(value, each.screening)):
                events[each.taken.job].append(shown)
        for job, told in events.items():
            publish(leases[job].row.user_id, *told)
        ended = time.monotonic()
        self._next = ended + max(NEXT_PREVIEW, PREVIEW_SHARE * (ended - began))
