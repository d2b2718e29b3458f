"""`make bench`: speed on this machine, medians over several runs, as a table. Absolute times are its own.

`make bench ARGS="cache importing"` runs some parts only; those that train beside other packages (`peers`, an hour,
`language` and `composing`), and `pretrained` at full size, run when asked for.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine

from app.database import new_id
from app.web.paging import encode
from benchmarks.composing import composing
from benchmarks.drawing import drawing as drawing_from_words
from benchmarks.language import language
from benchmarks.latents import sampling, sliding
from benchmarks.load import load as under_load
from benchmarks.peers.race import peers
from benchmarks.pretrained import pretrained
from benchmarks.style_transfer import style_transfer
from benchmarks.training import cancelling, estimating, loop
from benchmarks.upscaling import upscaling
from benchmarks.works import add_works, works
from models.painting.sampler import conditions, work_of
from models.transformer.sample import load, requests, sample_tokens
from tests.app.test_datasets import drawing
from tests.studio import MODEL, ROOT, Studio, request, wait_until

RUNS = 15
CONCURRENT = 64
ARTWORKS = 10_000
LONG = ("language", "composing", "pretrained", "peers")
IMPORTED = int(os.environ.get("IMPORTED", "10000"))


class Said(Table):
    """Says each row as it comes, on stderr: what has been measured is not lost with what fails later."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        print(" | ".join(map(str, cells)), file=sys.stderr, flush=True)
        super().add_row(*cells, **options)


def median_ms(work: Callable[[], object], runs: int = RUNS, warm: int = 3) -> float:
    for _ in range(warm):
        work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def draw(client: httpx.Client, prompt: str = "a red fox") -> None:
    answer = client.post("/generations", json=request(prompt), headers={"Prefer": "wait=60"})
    assert answer.status_code == 201, answer.text


def queueing(client: httpx.Client, table: Table) -> None:
    """POST to finished artwork, less the sampler called directly; they take turns, so that both see the same load."""
    sampler = load(ROOT / "models" / "zoo" / MODEL, torch.device("cpu"))
    one = requests(["a red fox"], seed=1)
    direct, posted = [], []
    for turn in range(RUNS + 3):
        began = time.perf_counter()
        sampler.sample(one, lambda step, total, previews: None)
        between = time.perf_counter()
        draw(client)
        if turn >= 3:
            direct.append(between - began)
            posted.append(time.perf_counter() - between)
    overhead = statistics.median(posted) - statistics.median(direct)
    table.add_row("sampler called directly, 1 picture", f"{statistics.median(direct) * 1000:.0f} ms", "")
    table.add_row("POST to finished artwork", f"{statistics.median(posted) * 1000:.0f} ms", "")
    table.add_row("queueing overhead", f"{overhead * 1000:.0f} ms", "at most 60 ms")


def concurrency(client: httpx.Client, table: Table) -> None:
    """64 requests at once against the same requests one by one."""
    ratios, rates = [], []
    for _ in range(3):
        began = time.perf_counter()
        for number in range(CONCURRENT // 4):
            draw(client, f"animal {number}")
        alone = (CONCURRENT // 4) / (time.perf_counter() - began)
        began = time.perf_counter()
        with ThreadPoolExecutor(CONCURRENT) as pool:
            list(pool.map(lambda number: draw(client, f"animal {number}"), range(CONCURRENT)))
        together = CONCURRENT / (time.perf_counter() - began)
        ratios.append(together / alone)
        rates.append((alone, together))
    alone, together = sorted(rates)[1]
    table.add_row("one by one", f"{alone:.1f} pictures/s", "")
    table.add_row(f"{CONCURRENT} at once", f"{together:.1f} pictures/s", "")
    table.add_row("ratio", f"{statistics.median(ratios):.1f}", "at least 3")


def cache(table: Table) -> None:
    """The same network, the same tokens, with and without the KV cache."""
    sampler = load(ROOT / "models" / "zoo" / MODEL, torch.device("cpu"))
    for size in (1, 16):
        batch = requests(["a red fox"] * size, seed=1)
        works = [work_of(request, sampler.side) for request in batch]
        with torch.inference_mode():
            prompts = conditions(works, sampler.prompts, takes_reference=False, device=sampler.device)
            sample = partial(sample_tokens, sampler.network, prompts, batch)
            same = torch.equal(sample(), sample(use_cache=False))
            fast = median_ms(sample, 5, 1)
            slow = median_ms(partial(sample, use_cache=False), 3, 0)
        table.add_row(
            f"KV cache, batch {size}, {'same' if same else 'OTHER'} tokens",
            f"{slow / fast:.1f} times faster ({fast:.0f} against {slow:.0f} ms)",
            "at least 2",
        )


def web_process(studio: Studio, table: Table) -> None:
    starts = []
    for _ in range(3):
        studio.kill("web")
        began = time.perf_counter()
        studio.start("web")
        starts.append(time.perf_counter() - began)
    table.add_row("web process up", f"{statistics.median(starts):.1f} s", "under 3 s")


def gallery(studio: Studio, client: httpx.Client, table: Table) -> None:
    """10,000 artworks: gallery page and list API, first page and 1,000th."""
    user = client.get("/users/me").json()["id"]
    ids = [new_id() for _ in range(ARTWORKS)]
    engine = create_engine(f"sqlite:///{studio.folder / 'data' / 'danqing.sqlite'}")
    work = {"user_id": user, "model": MODEL, "task": "text-to-image", "provenance": {"params": {"prompt": "an animal"}}}
    add_works(engine, [{**work, "id": each, "subject": f"animal number {n}"} for n, each in enumerate(ids)])
    engine.dispose()
    far = encode(ids[ARTWORKS - 9_990])

    def get(path: str, by: httpx.Client = client, **params: object) -> Callable[[], object]:
        return lambda: by.get(path, params=params).raise_for_status()  # type: ignore[arg-type]

    table.add_row("list API, first page of 10", f"{median_ms(get('/artworks', limit=10), 40):.1f} ms", "under 30 ms")
    table.add_row(
        "list API, 1,000th page of 10", f"{median_ms(get('/artworks', limit=10, cursor=far), 40):.1f} ms", "as quick"
    )
    table.add_row("list API, search", f"{median_ms(get('/artworks', limit=50, q='number 77'), 20):.1f} ms", "")
    browser = studio.signed_in(client.get("/users/me").json()["name"])
    table.add_row("gallery page", f"{median_ms(get('/', browser), 40):.1f} ms", "under 30 ms")
    table.add_row("gallery page, far down", f"{median_ms(get('/', browser, cursor=far), 40):.1f} ms", "as quick")
    resident = psutil.Process(studio.processes["web"].pid).memory_info().rss / 1e6
    table.add_row("web process, resident after all this", f"{resident:.0f} MB", "under 150 MB")


def importing(studio: Studio, table: Table) -> None:
    """A zip of small pictures into a dataset, by one request; memory of the web process while it lasts."""
    admin = studio.client("importer", "admin")
    archive = studio.folder / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for number in range(IMPORTED):
            made.writestr(f"folder/picture {number}.png", drawing(number, size=64))
    dataset = admin.post("/datasets", json={"name": "imported"}).json()["id"]
    web = psutil.Process(studio.processes["web"].pid)
    before = most = web.memory_info().rss
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool, archive.open("rb") as content:
        answer = pool.submit(
            admin.post, f"/datasets/{dataset}/items", files={"files": ("pictures.zip", content)}, timeout=3600
        )
        while not answer.done():
            most = max(most, web.memory_info().rss)
            time.sleep(0.1)
    seconds = time.perf_counter() - began
    assert answer.result().json()["accepted"] == IMPORTED, answer.result().text
    table.add_row(f"zip of {IMPORTED:,} pictures of 64 px", f"{IMPORTED / seconds:.0f} pictures/s", "at least 300")
    table.add_row("web process grows by", f"{(most - before) / 1e6:.0f} MB", "flat")


def main(parts: list[str]) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # as a worker does
    table = Said("what", "measured", "wanted", title=f"Danqing on {os.cpu_count()} cores, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Path(folder), {"DANQING_LEASE_SECONDS": "30", "DANQING_MAX_STREAMS_PER_USER": "5000"})
        try:
            studio.start("valkey", "web", "worker")
            client = studio.client("bench")
            wait_until(
                "a warm worker", lambda: httpx.get(f"{studio.url}/readyz").json()["parts"].get("workers") == "ok"
            )
            draw(client)
            every: dict[str, Callable[[], None]] = {
                "queueing": lambda: queueing(client, table),
                "concurrency": lambda: concurrency(client, table),
                "cache": lambda: cache(table),
                "web": lambda: web_process(studio, table),
                "gallery": lambda: gallery(studio, client, table),
                "works": lambda: works(table),
                "importing": lambda: importing(studio, table),
                "sampling": lambda: sampling(table),
                "drawing": lambda: drawing_from_words(table),
                "upscaling": lambda: upscaling(table),
                "style": lambda: style_transfer(table),
                "sliding": lambda: sliding(client, table),
                "training": lambda: loop(table),
                "estimating": lambda: estimating(table),
                "load": lambda: under_load(studio, client, table),
                "cancelling": lambda: cancelling(studio, table),
                "language": lambda: language(table),
                "composing": lambda: composing(table),
                "pretrained": lambda: pretrained(table),
                "peers": lambda: peers(table),
            }
            for part in parts or [name for name in every if name not in LONG]:
                every[part]()
        finally:
            studio.stop()
    Console(width=110).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
