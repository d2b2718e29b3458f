"""Our models that draw from words beside the transformer of `diffusers` (DiT) of equal size, on the same 8 x 8 cells.

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
TRAINED, WARM, BATCH = 12, 2, 64  # steps, those left out, pictures a step
CELLS, CHANNELS, WORDS = 8, 8, 12  # tokens that a prompt has


def drawing(table: Table) -> None:
    with all_cores():
        sampling(table)
        training(table)


def flow() -> FlowTransformer:
    return FlowTransformer(FlowConfig(size=CELLS, channels=CHANNELS, patch=1)).eval()


def dit(parameters: int) -> nn.Module:
    """With as many layers as come nearest to so many parameters."""
    from diffusers import DiTTransformer2DModel

    def made(layers: int) -> nn.Module:
        network: nn.Module = DiTTransformer2DModel(
            num_attention_heads=8,
            attention_head_dim=32,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            num_layers=layers,
            sample_size=CELLS,
            patch_size=1,
            num_embeds_ada_norm=1000,
        )
        return network.eval()

    return min((made(layers) for layers in range(3, 12)), key=lambda network: abs(size_of(network) - parameters))


def size_of(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def prompts(count: int) -> tuple[Tensor, Tensor]:
    return torch.randint(300, 4000, (count, WORDS)), torch.randn(count, 512)


def sampling(table: Table) -> None:
    from diffusers import UniPCMultistepScheduler

    ours, own = load(ZOO / MODEL, CPU), flow()
    theirs = dit(size_of(own))

    def walk(count: int) -> None:
        encoded = own.encode(*prompts(2 * count))

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            prompted, free = own.denoise(z.repeat(2, 1, 1, 1), t.repeat(2), encoded).chunk(2)
            return free + 3 * (prompted - free)

        noise = torch.randn(count, CHANNELS, CELLS, CELLS)
        schedule = times(STEPS, torch.zeros(count))
        solve(denoise, mixed(noise, noise, schedule[0]), schedule, lambda k, x: None, lambda z, t: z)

    def peer(count: int) -> None:
        scheduler = UniPCMultistepScheduler()
        scheduler.set_timesteps(STEPS)
        x, labels = torch.randn(count, CHANNELS, CELLS, CELLS), torch.randint(1000, (2 * count,))
        for t in scheduler.timesteps:
            made = theirs(x.repeat(2, 1, 1, 1), timestep=t.repeat(2 * count), class_labels=labels).sample
            prompted, free = made.chunk(2)
            x = scheduler.step(free + 3 * (prompted - free), t, x).prev_sample

    works: dict[str, Callable[[int], object]] = {
        MODEL: lambda count: ours.sample(requests(["a red fox"] * count, seed=1), lambda *_: None),
        "flow transformer": walk,
        "DiT of diffusers, UniPC": peer,
    }
    for count in BATCHES:
        with torch.inference_mode():
            found = best({name: partial(work, count) for name, work in works.items()})
        whole = found["DiT of diffusers, UniPC"]
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
    theirs = dit(size_of(own)).train()
    optimizers, _, _ = averaged(own, FlowTraining(), "encoder.", "layers.")
    theirs_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-4)
    x, noise, t = (
        torch.randn(BATCH, CHANNELS, CELLS, CELLS),
        torch.randn(BATCH, CHANNELS, CELLS, CELLS),
        torch.rand(BATCH),
    )
    labels = torch.randint(1000, (BATCH,))

    def ours_step() -> None:
        with mixed_precision(CPU):
            loss = flow_losses(own, x, noise, t, *prompts(BATCH)).mean()
        step(loss, optimizers)

    def their_step() -> None:
        with mixed_precision(CPU):
            made = theirs(mixed(x, noise, t), timestep=(1000 * t).long(), class_labels=labels).sample
            loss = F.mse_loss(made, x - noise)
        step(loss, [theirs_optimizer])

    rates = {}
    for name, one in {"flow transformer": ours_step, "DiT of diffusers": their_step}.items():
        for _ in range(WARM):
            one()
        began = time.perf_counter()
        for _ in range(TRAINED):
            one()
        rates[name] = TRAINED * BATCH / (time.perf_counter() - began)
        size = size_of(own if name.startswith("flow") else theirs) / 1e6
        table.add_row(f"{name}, {size:.1f} M parameters, training", f"{rates[name]:.0f} pictures/s", "")
    table.add_row("ratio", f"{rates['flow transformer'] / rates['DiT of diffusers']:.2f}", "above 1")


def step(loss: Tensor, optimizers: list[torch.optim.Optimizer]) -> None:
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
