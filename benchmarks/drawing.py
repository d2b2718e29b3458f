"""Our models that draw from words beside transformers of `diffusers` of equal size, on the same 8 x 8 cells: DiT, which
is told the number of a class, and PixArt, which reads a caption (the encoder that it needs for that is not counted).

Seconds a picture by the best of five, alternating; guidance counts: each step is two evaluations. Pictures a second in
training: forward, backward and optimizer on batches that are there already.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor, nn

from benchmarks.threads import all_cores
from models.checkpoint import ZOO
from models.diffusion.flow import mixed, solve, times
from models.diffusion.network import FlowTransformer
from models.diffusion.spec import FlowConfig, FlowTraining
from models.diffusion.train import flow_losses
from models.training.averaged import averaged
from models.training.schedule import mixed_precision
from models.transformer.sample import load, requests
from tests.studio import MODEL

CPU = torch.device("cpu")
STEPS, RUNS, BATCHES = 8, 5, (1, 4, 16)
BATCH = 64  # pictures a step of training
CELLS, CHANNELS, WORDS = 8, 8, 12  # tokens that a prompt has


def drawing(table: Table) -> None:
    with all_cores():
        sampling(table)
        training(table)


def flow() -> FlowTransformer:
    return FlowTransformer(FlowConfig(size=CELLS, channels=CHANNELS, patch=1)).eval()


SHAPE = {
    "num_attention_heads": 8,
    "attention_head_dim": 32,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "sample_size": CELLS,
    "patch_size": 1,
}


class DiT(nn.Module):
    def __init__(self, layers: int) -> None:
        from diffusers import DiTTransformer2DModel

        super().__init__()
        self.network = DiTTransformer2DModel(num_layers=layers, num_embeds_ada_norm=1000, **SHAPE)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        labels = torch.randint(1000, (len(x),))
        predicted: Tensor = self.network(x, timestep=t, class_labels=labels).sample
        return predicted


class PixArt(nn.Module):
    def __init__(self, layers: int) -> None:
        from diffusers import PixArtTransformer2DModel

        super().__init__()
        self.network = PixArtTransformer2DModel(
            num_layers=layers, cross_attention_dim=256, caption_channels=256, use_additional_conditions=False, **SHAPE
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        captions, mask = torch.randn(len(x), WORDS + 1, 256), torch.ones(len(x), WORDS + 1)
        predicted: Tensor = self.network(x, captions, t, encoder_attention_mask=mask).sample
        return predicted


def peers(parameters: int) -> dict[str, nn.Module]:
    """Each with as many layers as come nearest to so many parameters."""
    nearest: dict[str, nn.Module] = {}
    for name, made in {"DiT of diffusers": DiT, "PixArt of diffusers": PixArt}.items():
        sizes = (made(layers) for layers in range(3, 12))
        nearest[name] = min(sizes, key=lambda network: abs(size_of(network) - parameters)).eval()
    return nearest


def size_of(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def prompts(count: int) -> tuple[Tensor, Tensor]:
    return torch.randint(300, 4000, (count, WORDS)), torch.randn(count, 512)


def sampling(table: Table) -> None:
    from diffusers import UniPCMultistepScheduler

    ours, own = load(ZOO / MODEL, CPU), flow()
    theirs = peers(size_of(own))

    def walk(count: int) -> None:
        encoded = own.encode(*prompts(2 * count))

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            prompted, free = own.denoise(z.repeat(2, 1, 1, 1), t.repeat(2), encoded).chunk(2)
            return free + 3 * (prompted - free)

        noise = torch.randn(count, CHANNELS, CELLS, CELLS)
        schedule = times(STEPS, torch.zeros(count))
        solve(denoise, mixed(noise, noise, schedule[0]), schedule, lambda k, x: None, lambda z, t: z)

    def peer(network: nn.Module, steps: int, count: int) -> None:
        scheduler = UniPCMultistepScheduler()
        scheduler.set_timesteps(steps)
        x = torch.randn(count, CHANNELS, CELLS, CELLS)
        for t in scheduler.timesteps:
            prompted, free = network(x.repeat(2, 1, 1, 1), t.repeat(2 * count)).chunk(2)
            x = scheduler.step(free + 3 * (prompted - free), t, x).prev_sample

    def drawn(candidates: int, count: int) -> None:
        ours.sample(requests(["a red fox"] * count, seed=1, candidates=candidates), lambda *_: None)

    works: dict[str, Callable[[int], object]] = {
        f"{MODEL}, {CELLS**2} tokens": partial(drawn, 1),
        f"{MODEL}, the best of 4": partial(drawn, 4),
        f"flow transformer, {STEPS} steps": walk,
    }
    for name, network in theirs.items():
        works[f"{name}, UniPC, {STEPS} steps"] = partial(peer, network, STEPS)
    first, network = next(iter(theirs.items()))
    works[f"{first}, UniPC, {CELLS**2} steps"] = partial(peer, network, CELLS**2)
    for count in BATCHES:
        with torch.inference_mode():
            found = best({name: partial(work, count) for name, work in works.items()})
        whole = found[f"{first}, UniPC, {STEPS} steps"]
        for name, seconds in found.items():
            table.add_row(
                f"{name}, {count} at once", f"{1000 * seconds / count:.0f} ms a picture", f"{seconds / whole:.2f}"
            )


def best(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            found[name].append(time.perf_counter() - began)
    return {name: min(seconds[1:]) for name, seconds in found.items()}


def training(table: Table) -> None:
    own = flow().train()
    theirs = {name: network.train() for name, network in peers(size_of(own)).items()}
    optimizers, _, _ = averaged(own, FlowTraining(), "encoder.", "layers.")
    optimizer_of = {name: torch.optim.AdamW(network.parameters(), lr=1e-4) for name, network in theirs.items()}
    x, noise, t = (
        torch.randn(BATCH, CHANNELS, CELLS, CELLS),
        torch.randn(BATCH, CHANNELS, CELLS, CELLS),
        torch.rand(BATCH),
    )

    def ours_step() -> None:
        with mixed_precision(CPU):
            loss = flow_losses(own, x, noise, t, *prompts(BATCH)).mean()
        step(loss, optimizers)

    def their_step(name: str) -> None:
        with mixed_precision(CPU):
            made = theirs[name](mixed(x, noise, t), (1000 * t).long())
            loss = F.mse_loss(made, x - noise)
        step(loss, [optimizer_of[name]])

    works: dict[str, Callable[[], object]] = {"flow transformer": ours_step}
    works |= {name: partial(their_step, name) for name in theirs}
    found = best(works)
    for name, network in {"flow transformer": own, **theirs}.items():
        table.add_row(
            f"{name}, {size_of(network) / 1e6:.1f} M parameters, training",
            f"{BATCH / found[name]:.0f} pictures/s",
            f"{found[name] / found['DiT of diffusers']:.2f} of the time",
        )


def step(loss: Tensor, optimizers: list[torch.optim.Optimizer]) -> None:
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
