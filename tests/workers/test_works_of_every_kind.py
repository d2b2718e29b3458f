"""A family that takes two roles, costs eight pictures and writes text passes through every protocol of the studio."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sqlalchemy import select

from app.artworks.tables import Artwork
from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.datasets import service as datasets
from app.datasets.schemas import DatasetIn
from app.errors import Invalid
from app.generations.tables import Generation
from app.jobs.events import Event, PreviewEvent, ProgressEvent
from app.media import signed, texts
from app.settings import get_settings
from app.storage import get_storage
from app.training_runs import planning
from models.contract.economy import Economy
from models.contract.preparation import Preparation, SquarePreparation
from models.contract.registry import families
from models.contract.values import MUSIC
from tests.support import poet
from tests.support.artist import client, picture, submit, upload, work
from tests.support.poet import COST, NAME, OPENING, TASK, Poet, asked
from workers import generate, lease, model_cache, settle
from workers.training import collection

EmbeddedProvenance = list[tuple[str, Event]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> EmbeddedProvenance:
    """What is published, instead of Redis."""
    found: EmbeddedProvenance = []
    for module in (generate, settle):
        monkeypatch.setattr(module, "publish", lambda user, *events: found.extend((user, event) for event in events))
    for name in ("FIRST_PREVIEW", "NEXT_PREVIEW", "PREVIEW_SHARE"):  # every step is shown
        monkeypatch.setattr(generate, name, 0)
    return found


@pytest.fixture
def studio(in_process: None, told: EmbeddedProvenance) -> Iterator[Poet]:
    with poet.published(get_settings().data / "checkpoints") as made:
        yield made
    model_cache._loaded.clear()


def test_a_model_says_what_it_is_given_in_which_role_and_what_it_gives(studio: Poet) -> None:
    (task,) = client("artist").get(f"/api/v1/models/{NAME}").json()["tasks"]
    assert (task["gives"], task["media_type"]) == ("texts", "text/plain")
    assert [(given["role"], given["medium"], given["least"], given["most"]) for given in task["inputs"]] == [
        ("image", "pictures", 1, 2),
        (OPENING, "texts", 0, 1),
    ]
    assert task["images"] == {"least": 1, "most": 2}, "the word of before for the role `image`"


def test_the_form_is_made_from_the_roles(studio: Poet) -> None:
    page = client("artist").get("/create", params={"model": NAME}).text
    found = re.findall(r'data-role="(\w+)" data-medium="(\w+)" data-least="(\d)" data-most="(\d)"', page)
    assert found == [("image", "pictures", "1", "2"), (OPENING, "texts", "0", "1")]
    assert "Opening lines" in page and 'name="meter"' in page


def test_a_text_is_written_streamed_kept_and_gives_its_request_back(studio: Poet, told: EmbeddedProvenance) -> None:
    browser = client("artist")
    image, opening = upload(browser, "a.png", picture(10)), upload(browser, "b.txt", "月光 moonlight".encode())
    job = submit(browser, asked(image, opening, title="Night", count=2))
    assert (job["cost"], job["subject"]) == (2 * COST, "Night · Poet")
    work()
    done = browser.get(f"/api/v1/generations/{job['id']}").json()
    assert done["status"] == "succeeded", done["error"]

    previews = [event for _, event in told if isinstance(event, PreviewEvent)]
    first = [event.text for event in previews if event.index == 0]
    assert len(set(first)) == len(first) > 3 and all(event.image is None for event in previews)
    assert all(a is not None and b is not None and b.startswith(a) for a, b in pairwise(first))
    progress = [event for _, event in told if isinstance(event, ProgressEvent)]
    assert progress and all(event.step <= event.total for event in progress)

    one, two = (browser.get(f"/api/v1/artworks/{work['id']}").json() for work in done["artworks"])
    assert one["media_type"] == "text/plain" and one["width"] is None and one["subject"] == "Night · Poet"
    assert one["facts"]["lines"] == 3 and one["facts"]["excerpt"].startswith("月光 moonlight\nthere was a dark thing")
    assert one["provenance"]["feet"] == 5 and [one["seed"], two["seed"]] == [5, 6]
    answer = browser.get(f"/api/v1/artworks/{one['id']}/file")
    assert answer.headers["content-type"].startswith("text/plain") and ".txt" in answer.headers["content-disposition"]
    assert texts.bare(answer.content) == "月光 moonlight\nthere was a dark thing beside 0 others,\nof seed 5 and iamb."
    assert browser.get(f"/api/v1/artworks/{one['id']}/preview").status_code == 404, "its first lines are shown instead"
    assert "月光 moonlight" in browser.get("/").text and "月光 moonlight" in browser.get(f"/artworks/{one['id']}").text

    restored = browser.post("/api/v1/generations/restoration", files={"file": ("work.txt", answer.content)}).json()
    assert restored["differences"] == [] and restored["request"]["params"]["title"] == "Night"
    assert restored["request"]["inputs"] == {
        "image": [{"artwork": None, "upload": image}],
        OPENING: [{"artwork": None, "upload": opening}],
    }
    again = submit(browser, restored["request"])
    work()
    (same,) = browser.get(f"/api/v1/generations/{again['id']}").json()["artworks"]
    assert texts.bare(browser.get(f"/api/v1/artworks/{same['id']}/file").content) == texts.bare(answer.content)


def test_a_work_may_be_what_another_is_made_from_by_its_medium(studio: Poet) -> None:
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    submit(browser, asked(image))
    work()
    (verse,) = browser.get("/api/v1/artworks").json()["items"]
    request = asked(image)
    request["inputs"][OPENING] = [{"artwork": verse["id"]}]
    job = submit(browser, request)
    work()
    (second,) = browser.get(f"/api/v1/generations/{job['id']}").json()["artworks"]
    told = browser.get(f"/api/v1/artworks/{second['id']}/file").content
    assert texts.bare(told).startswith("Once\nthere was a light thing") and signed(told)["inputs"][OPENING]
    wrong = asked(image)
    wrong["inputs"]["image"] = [{"artwork": verse["id"]}]
    refused = browser.post("/api/v1/generations", json=wrong)
    assert refused.status_code == 422 and refused.json()["errors"] == [
        {"loc": ["body", "inputs", "image", 0], "msg": "This has to be a picture"}
    ]


@pytest.mark.parametrize(
    ("inputs", "place", "why"),
    [
        ({}, ["body", "inputs", "image"], "This task takes 1 to 2 pictures"),
        ({"mask": ["a"]}, ["body", "inputs", "mask"], "This task takes no input called mask"),
        ({"image": ["a"], OPENING: ["b", "b"]}, ["body", "inputs", OPENING], "This task takes 0 to 1 inputs called"),
        ({"image": ["b"]}, ["body", "inputs", "image", 0], "This has to be a picture"),
        ({"image": ["a"], "images": ["b"]}, ["body", "inputs"], "an alias"),
    ],
)
def test_what_does_not_fit_a_role_is_refused_by_its_place(
    studio: Poet, inputs: dict[str, list[str]], place: list[str], why: str
) -> None:
    browser = client("artist")
    ids = {"a": upload(browser, "a.png", picture()), "b": upload(browser, "b.txt", b"words")}
    given = {role: [{"upload": ids[each]} for each in found] for role, found in inputs.items()}
    refused = browser.post("/api/v1/generations", json={"model": NAME, "task": TASK, "inputs": given})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["loc"] == place and why in error["msg"]


def test_costs_fill_batches_and_keys_part_them(studio: Poet) -> None:
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    for _ in range(3):
        submit(browser, asked(image))
    submit(browser, asked(image, meter="dactyl"))
    work()
    assert studio.batches == [2, 1, 1], "two works of eight fill a batch of sixteen; another meter goes by itself"
    large = upload(browser, "large.png", picture(side=120))
    assert submit(browser, asked(large))["cost"] == 2 * COST


def test_a_large_job_is_sampled_in_parts_that_fit(studio: Poet, told: EmbeddedProvenance) -> None:
    browser = client("artist")
    job = submit(browser, asked(upload(browser, "a.png", picture()), count=5))
    work()
    assert studio.batches == [2, 2, 1]
    works = browser.get(f"/api/v1/generations/{job['id']}").json()["artworks"]
    assert [work["seed"] for work in works] == [5, 6, 7, 8, 9]
    progress = [event for _, event in told if isinstance(event, ProgressEvent)]
    assert [e.step / e.total for e in progress] == sorted(e.step / e.total for e in progress), "it never goes back"


def test_turns_are_fair_by_cost(studio: Poet) -> None:
    """Who asks for much waits until others have had as much."""
    busy, quiet = client("busy"), client("quiet")
    theirs = [submit(busy, asked(upload(busy, "a.png", picture()), count=2))["id"] for _ in range(2)]
    image = upload(quiet, "a.png", picture())
    own = [submit(quiet, asked(image, meter=meter))["id"] for meter in ("a", "b", "c")]
    assert [job["queue_position"] for job in busy.get("/api/v1/generations").json()["items"]] == [3, 0]
    started: list[str] = []
    while generate.work_once("generation", "worker"):
        with session_scope(writing=False) as session:
            ended = select(Generation.id).where(Generation.status == "succeeded")
            started += [job for job in session.scalars(ended) if job not in started]
    assert started == [theirs[0], own[0], own[1], theirs[1], own[2]]


def test_the_quota_counts_what_jobs_cost(studio: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_settings(), "max_queued_cost_per_user", 3 * COST)
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    submit(browser, asked(image, count=2))
    submit(browser, asked(image))
    refused = browser.post("/api/v1/generations", json=asked(image))
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0


# --- memory ---------------------------------------------------------------------------------------------------------


def test_when_memory_runs_out_smaller_parts_are_tried(studio: Poet) -> None:
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    jobs = [submit(browser, asked(image))["id"] for _ in range(2)]
    studio.room = 1
    work()
    assert studio.batches == [1, 1]
    assert [browser.get(f"/api/v1/generations/{job}").json()["status"] for job in jobs] == ["succeeded"] * 2


def test_a_work_that_is_too_large_alone_ends_with_words_that_help(studio: Poet) -> None:
    browser = client("artist")
    job = submit(browser, asked(upload(browser, "a.png", picture()), count=2))["id"]
    studio.room = 0
    work()
    done = browser.get(f"/api/v1/generations/{job}").json()
    assert (done["status"], studio.batches) == ("failed", [])
    assert done["error"].startswith("There was not enough memory for this, not even for one work at a time")


def test_a_job_is_done_when_its_own_works_are_there(studio: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when the batch is: what fails later takes nothing of it along."""
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    first, second = (submit(browser, asked(image))["id"] for _ in range(2))
    studio.room = 1
    seen: list[str] = []
    usual = Poet.sample

    def watched(self: Poet, batch: Any, on_step: Any) -> Any:
        with session_scope(writing=False) as session:
            seen.append(session.get_one(Generation, first).status)
        return usual(self, batch, on_step)

    monkeypatch.setattr(Poet, "sample", watched)
    work()
    assert seen == ["running", "running", "succeeded"], "both together, then one by one"
    with session_scope(writing=False) as session:
        kept = session.scalars(select(Artwork)).all()
    assert {artwork.generation_id for artwork in kept} == {first, second}
    assert all(get_storage().get(artwork.sha256) for artwork in kept)


def test_what_was_tried_is_gone_before_it_is_tried_again(studio: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    class Large:
        """Stands for the tensors of a batch."""

    browser = client("artist")
    image = upload(browser, "a.png", picture())
    for _ in range(2):
        submit(browser, asked(image))
    held: list[weakref.ref[Large]] = []
    alive: list[int] = []
    usual = Poet.sample

    def sample(self: Poet, batch: Any, on_step: Any) -> Any:
        alive.append(sum(one() is not None for one in held))
        large = Large()
        held.append(weakref.ref(large))
        outputs = usual(self, batch, on_step)
        assert large is not None
        return outputs

    monkeypatch.setattr(Poet, "sample", sample)
    studio.room = 1
    gc.disable()
    try:
        work()
    finally:
        gc.enable()
    assert alive == [0, 0, 0]


def test_other_models_make_room_first(studio: Poet) -> None:
    class Other:
        batch_size, memory_bytes = 1, 1

    model_cache._loaded["other", "x", None] = Other()  # type: ignore[assignment]
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    for _ in range(2):
        submit(browser, asked(image))

    def hungry(self: Poet, batch: Any, on_step: Any) -> Any:
        if "other" in model_cache.loaded():
            raise torch.OutOfMemoryError("the other one is in the way")
        return usual(self, batch, on_step)

    usual = Poet.sample
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Poet, "sample", hungry)
        work()
    assert studio.batches == [2] and model_cache.loaded() == [NAME]


def test_one_work_that_does_not_fit_is_tried_again_with_less_memory(studio: Poet) -> None:
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    for _ in range(4):
        submit(browser, asked(image))
    tried: list[int] = []
    usual = Poet.sample

    def hungry(self: Poet, batch: Any, on_step: Any) -> Any:
        tried.append(len(batch))
        return usual(self, batch, on_step)

    def save_memory(self: Poet) -> bool:
        tried.append(0)
        self.room = 1
        return tried.count(0) == 1

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Poet, "sample", hungry)
        patched.setattr(Poet, "save_memory", save_memory, raising=False)
        studio.room = 0
        work()
    assert tried[:4] == [2, 1, 0, 1] and studio.batches == [1, 1, 1, 1]


def test_a_family_that_economizes_is_loaded_as_the_operator_says(studio: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Economy] = []

    def load(folder: Path, device: torch.device, economy: Economy) -> Poet:
        said.append(economy)
        return studio

    monkeypatch.setitem(families(), NAME, replace(poet.FAMILY, economizes=True))
    monkeypatch.setattr(poet, "load", load)
    monkeypatch.setattr(get_settings(), "pipeline_weights", "8-bit")
    monkeypatch.setattr(get_settings(), "pipeline_offload", "never")
    model_cache.sampler(NAME, checkpoints.get(NAME).sha256)
    assert said == [Economy("8-bit", "never")]


def test_room_is_made_before_a_model_is_loaded(studio: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        batch_size, memory_bytes = 1, 64 << 20

    loaded_beside: list[list[str]] = []
    usual = poet.load

    def load(folder: Path, device: torch.device) -> Poet:
        loaded_beside.append(model_cache.loaded())
        return usual(folder, device)

    monkeypatch.setattr(poet, "load", load)
    monkeypatch.setattr(get_settings(), "model_cache_mib", 64)
    for name in ("first", "second"):
        model_cache._loaded[name, "x", None] = Other()  # type: ignore[assignment]
    found = checkpoints.get(NAME)
    assert model_cache.footprint(found) == 2 * 4, "two numbers in float32, though the file has them in float16"
    model_cache.sampler(NAME, found.sha256)
    assert loaded_beside == [[]] and model_cache.loaded() == [NAME]


def test_a_task_that_is_not_live_has_no_live_frames(studio: Poet) -> None:
    browser = client("artist")
    refused = browser.post("/api/v1/explorations", json=asked(upload(browser, "a.png", picture())))
    assert refused.status_code == 422 and "too slow" in refused.json()["detail"]


def test_a_worker_takes_no_more_than_it_has_room_for(studio: Poet) -> None:
    browser = client("artist")
    image = upload(browser, "a.png", picture())
    for _ in range(3):
        submit(browser, asked(image))
    with session_scope() as session:
        assert len(lease.claim(session, "generation", "worker", generate.CAPACITY)) == generate.CAPACITY // COST == 2


# --- what families learn from ---------------------------------------------------------------------------------------


class Beats(Preparation):
    """Of a family that learns from music."""

    beats: int = 4


MUSICIAN = replace(families()["gan"], learns=MUSIC, preparation=Beats)


def test_a_family_learns_from_datasets_of_its_medium(in_process: None) -> None:
    with session_scope() as session:
        made = datasets.create(session, None, DatasetIn(name="Kites", kind="pictures"))
        session.flush()
        with pytest.raises(Invalid, match="a different kind of work"):
            planning.source(session, MUSICIAN, made.id, 0, 2)
        with pytest.raises(Invalid, match="0 works; training needs 2"):
            planning.source(session, families()["gan"], made.id, 64, 2)


def test_a_preparation_is_checked_by_the_class_of_the_family() -> None:
    assert planning.prepared(MUSICIAN, {"beats": 3}) == Beats(beats=3)
    with pytest.raises(Invalid) as refused:
        planning.prepared(MUSICIAN, {"fit": "pad"})
    assert refused.value.errors[0]["loc"] == ["body", "preparation", "fit"]


@pytest.mark.parametrize("in_process", ["sqlite"], indirect=True)
def test_a_run_prepares_as_it_was_asked_for(in_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[Preparation] = []
    taken = SimpleNamespace(row=SimpleNamespace(dataset_id="d", family="gan", size=64, preparation={"fit": "pad"}))
    monkeypatch.setattr(collection.prepare, "snapshot", lambda dataset: SimpleNamespace(version="v"))
    monkeypatch.setattr(
        collection.prepare, "write", lambda place, taken, size, wanted, check_cancelled: asked_for.append(wanted)
    )
    monkeypatch.setattr(collection, "report", lambda taken, **told: None)
    first, _ = collection.own(taken)  # type: ignore[arg-type]
    taken.row.preparation = {"fit": "crop"}
    second, _ = collection.own(taken)  # type: ignore[arg-type]
    assert asked_for == [SquarePreparation(fit="pad"), SquarePreparation()]
    assert first != second, "what is prepared in another way is another collection"
