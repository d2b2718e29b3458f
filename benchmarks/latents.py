"""How quickly GAN and VAE draw: from chance, from given pictures, and while a slider moves."""

from __future__ import annotations

import statistics
import time

import httpx
import torch
from rich.table import Table

from models.checkpoint import ZOO
from models.contract.sampling import Request
from models.gan.sample import load as load_gan
from models.gan.spec import UnconditionalImage
from models.parts.latents import TASK
from models.vae.sample import load as load_vae
from models.vae.spec import DrawnFromPrior
from tests.app.test_datasets import drawing

RUNS, WARM = 30, 5
GAN, VAE = "pixel-faces", "pixel-faces-vae"


def sampling(table: Table) -> None:
    """Pictures a second of the samplers alone, on the cores that a worker takes."""
    samplers = {
        GAN: (load_gan(ZOO / GAN, torch.device("cpu")), UnconditionalImage()),
        VAE: (load_vae(ZOO / VAE, torch.device("cpu")), DrawnFromPrior()),
    }
    for name, (sampler, params) in samplers.items():
        speeds = []
        for batch in (1, 16):
            requests = [Request(TASK, params, seed) for seed in range(batch)]
            times = []
            for _ in range(WARM + RUNS):
                began = time.perf_counter()
                sampler.sample(requests, lambda *_: None)
                times.append(time.perf_counter() - began)
            speeds.append(batch / statistics.median(times[WARM:]))
        table.add_row(f"{name}: pictures/s, batch 1 and 16", f"{speeds[0]:.0f} and {speeds[1]:.0f}", "")


def sliding(client: httpx.Client, table: Table) -> None:
    """Over HTTP, through queue and worker."""
    given = {"model": GAN, "task": TASK, "params": {"count": 1}}
    first = []
    for _ in range(WARM + RUNS):
        began = time.perf_counter()
        answer = client.post("/generations", json=given, headers={"Prefer": "wait=30"})
        assert answer.status_code == 201, answer.text
        first.append(time.perf_counter() - began)
    table.add_row(f"{GAN}: request to a kept picture", f"{statistics.median(first[WARM:]) * 1000:.0f} ms", "300 ms")
    ends = [{"upload": client.post("/uploads", files={"file": (f"{i}.png", drawing(i))}).json()["id"]} for i in (1, 2)]
    for name in (VAE, GAN):
        times = []
        for i in range(WARM + RUNS):
            params = {"weights": [i / 40, 1 - i / 40]}
            wanted = {"model": name, "task": "image-interpolation", "params": params, "inputs": {"images": ends}}
            began = time.perf_counter()
            answer = client.post("/explorations", json=wanted, timeout=60)
            assert answer.status_code in (200, 503), answer.text  # the first of a GAN may take longer than it may
            times.append(time.perf_counter() - began)
        table.add_row(
            f"{name}: mix of two uploads, live frame (the first one)",
            f"{statistics.median(times[WARM:]) * 1000:.0f} ms ({times[0] * 1000:.0f} ms)",
            "150 ms",
        )
