"""Fits a reader of captions contrastively to the pictures that they are of, upon features that are computed once.

That takes a minute, where a network that draws would take hours to learn the same. Xu et al., "AttnGAN", 2018 (DAMSM);
Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (CLIP), 2021.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

from models.contract.files import write_atomically
from models.data.pictures import Collection, EpochOrder, Indices, to_unit
from models.measure.features import SMALLEST_SEEN, load_lite0
from models.parts.caption_reader import WIDTH, CaptionReader
from models.parts.captions import Captions
from models.parts.prompt import PromptReader, hide_words
from models.parts.sentences import cached
from models.training import parallel
from models.training.run import Run
from models.training.schedule import step_generator

SEEN = (4, 10, 15)  # blocks of Lite0 at an eighth, a sixteenth and a thirty-second of the side
LARGEST_SEEN = 128  # pixels of a side
QUARTERED = 10  # of which each quarter is seen by itself
BATCH, STEPS, EPOCHS = 256, 1000, 40  # so many steps at most, and so often through the pictures
RATE, TEMPERATURE = 1e-3, 0.07
WORD_DROP = 0.3  # of the captions whose words are hidden: their sentences alone say what they look like

OnProgress = Callable[[int], None]


class PictureReader(nn.Module):
    """What is seen of pictures to unit vectors of the same space."""

    def __init__(self, seen: Tensor) -> None:
        """`seen` (N, features) of all pictures that it learns from."""
        super().__init__()
        self.register_buffer("mean", seen.mean(0))
        self.register_buffer("spread", seen.std(0, correction=0).clamp(min=1e-3))  # of one picture too
        self.mean: Tensor
        self.spread: Tensor
        self.body = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(seen.size(1), 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, seen: Tensor) -> Tensor:
        """(B, features) -> (B, WIDTH)."""
        return F.normalize(self.body((seen - self.mean) / self.spread), dim=1)


@torch.no_grad()
def features(
    data: Collection, chosen: Indices, device: torch.device, on_progress: OnProgress
) -> npt.NDArray[np.float16]:
    """(N, features) of so many pictures of a collection."""
    network = load_lite0(SEEN[-1] + 1).to(device)
    side = min(LARGEST_SEEN, max(SMALLEST_SEEN, data.images.shape[1]))
    at_once = max(1, BATCH * SMALLEST_SEEN**2 // side**2)
    rows: list[npt.NDArray[np.float16]] = []
    for part in np.array_split(chosen, -(-len(chosen) // at_once)):
        on_progress(len(rows) * at_once)
        pictures = to_unit(data.pictures(part, device))
        if pictures.size(-1) != side:
            pictures = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
        maps = network(pictures)
        seen = [maps[i].mean((2, 3)) for i in SEEN] + [F.adaptive_avg_pool2d(maps[QUARTERED], 2).flatten(1)]
        rows.append(torch.cat(seen, 1).half().cpu().numpy())
    return np.concatenate(rows)


def fit_caption_reader(
    network: PromptReader, data: Collection, captions: Captions, run: Run, before: Path | None
) -> None:
    """Fit the reader of captions of a network that has one to the pictures that are trained on. One that starts from a
    checkpoint takes that one's reader, whose vectors it knows.
    """
    if network.captions is None or before:
        return
    with parallel.first_alone():
        fit(
            network.captions,
            data,
            captions,
            run.path / "cache",
            run.seed,
            lambda done: run.is_at_work("preparing", read=done),
        )


def fit(
    reader: CaptionReader, data: Collection, captions: Captions, folder: Path, seed: int, on_progress: OnProgress
) -> None:
    """The weights are kept in `folder`: they are found once."""
    path = folder / "captions.safetensors"
    if not path.exists():
        device, chosen = next(reader.parameters()).device, data.indices("train")
        fitted = copy.deepcopy(reader).requires_grad_(True)
        with torch.random.fork_rng():  # a process that finds them done draws the same numbers afterwards
            torch.manual_seed(seed)
            seen = cached(folder / "seen.npy", lambda: features(data, chosen, device, on_progress))
            learn(fitted, torch.from_numpy(np.array(seen)).float(), chosen, captions, seed, on_progress)
        write_atomically(path, save(fitted.state_dict()), 0o644)
    reader.load_state_dict(load(path.read_bytes()))


def learn(
    reader: CaptionReader, seen: Tensor, chosen: Indices, captions: Captions, seed: int, on_progress: OnProgress
) -> None:
    """By the cross-entropy of finding, in a batch, the picture of each caption and the caption of each picture. Those
    of the same thing in other styles are the hard ones. `seen` (N, features) are those of the items `chosen` (N,).
    """
    device = next(reader.parameters()).device
    pictures = PictureReader(seen).to(device)
    weights = [*reader.parameters(), *pictures.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.05)
    order = EpochOrder(np.arange(len(chosen)), min(BATCH, len(chosen)), seed)
    steps = min(STEPS, EPOCHS * -(-len(chosen) // BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for k in range(steps):
        if k % 100 == 0:
            on_progress(k)
        random, rows = step_generator(seed, k), order.at(k)
        tokens, sentences = captions.of(chosen[rows], torch.rand(len(rows), generator=random).double().numpy())
        same = same_captions(tokens, sentences, torch.from_numpy(rows)).to(device)
        tokens = hide_words(tokens, torch.rand(len(rows), generator=random) < WORD_DROP)
        read = reader(tokens.to(device), sentences.to(device))
        logits = (read @ pictures(seen[rows].to(device)).T / TEMPERATURE).masked_fill(same, -torch.inf)
        target = torch.arange(len(rows), device=device)
        loss = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


def same_captions(tokens: Tensor, sentences: Tensor, items: Tensor) -> Tensor:
    """(B, B): which others of a batch of captions (B, T), (B, 512) say the same, or are of the same item (B,). They are
    not held against it.
    """
    _, said = torch.cat([tokens.float(), sentences], 1).unique(dim=0, return_inverse=True)
    same = (said[:, None] == said) | (items[:, None] == items)
    return same.fill_diagonal_(False)
