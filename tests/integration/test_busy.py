"""A studio under one kind of load answers all else: each kind of work waits in a lane of its own."""

from __future__ import annotations

import io
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tests.studio import Studio, request, wait_until

Fresh = Callable[..., Studio]


def photograph(seed: int) -> bytes:
    """A JPEG that takes its time to decode."""
    noise = np.random.default_rng(seed).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).resize((2400, 1800)).save(content, "JPEG", quality=80)
    return content.getvalue()


def test_a_locked_database_holds_up_writers_alone(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    client = studio.client("artist")
    other = studio.client("other")
    browser = studio.signed_in("other")
    lock = sqlite3.connect(studio.folder / "data" / "danqing.sqlite", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    answers = Counter[int]()
    try:
        with ThreadPoolExecutor(60) as pool:
            posts = [pool.submit(client.post, "/generations", json=request(f"animal {n}")) for n in range(60)]
            wait_until("the writers to wait", lambda: sum(post.running() for post in posts) == 60)
            # All of these are answered while the lock is held, or they would fail: nobody else releases it.
            assert httpx.get(f"{studio.url}/healthz").status_code == 200
            ready = httpx.get(f"{studio.url}/readyz", timeout=30)
            assert (
                ready.status_code == 503
                and "The database is locked by another writer" in ready.json()["parts"]["database"]
            )
            for path in ("/artworks", "/generations", "/models", "/users/me"):
                assert other.get(path).status_code == 200, path
            assert browser.get("/").status_code == 200
            assert browser.get("/static/css/studio.css").status_code == 200
            assert any(not post.done() for post in posts), "the writers still wait"
            refused = [
                post.result() for post in posts
            ]  # a writer gives up after some seconds, and says when to come back
            for answer in refused:
                answers[answer.status_code] += 1
                assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
                assert answer.headers["content-type"] == "application/problem+json"
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert answers == {503: 60}
    assert client.get("/generations").json()["items"] == []
    assert client.post("/generations", json=request()).status_code == 202


def test_sixty_uploads_of_one_artist_leave_room_for_others(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    greedy, modest = studio.client("greedy"), studio.client("modest")
    pictures = [photograph(seed) for seed in range(4)]
    left = threading.Semaphore(0)

    def upload(number: int) -> httpx.Response:
        try:
            return greedy.post("/uploads", files={"file": ("a.jpg", pictures[number % 4])}, timeout=300)
        finally:
            left.release()

    with ThreadPoolExecutor(60) as pool:
        uploads = [pool.submit(upload, number) for number in range(60)]
        wait_until("the uploads to be under way", lambda: any(each.done() for each in uploads), 120)
        assert httpx.get(f"{studio.url}/healthz").status_code == 200
        assert modest.get("/artworks").status_code == 200
        mine: Any = modest.post("/uploads", files={"file": ("b.jpg", pictures[0])}, timeout=300)
        assert mine.status_code == 201
        assert any(not each.done() for each in uploads), "another's picture does not wait for sixty others"
        answers = Counter(each.result().status_code for each in uploads)
    assert answers[201] >= 10 and set(answers) <= {201, 503}, answers
