"""Models of music that have learnt nothing: they compose by chance, and at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import write_model
from models.contract.message import Message
from models.contract.samples import SAMPLES, write_samples
from models.contract.sampling import Request
from models.contract.values import Note, Score
from models.music.known import KNOWN, Known
from models.music.network import MusicTransformer
from models.music.sample import MusicSampler
from models.music.spec import MusicConfig
from models.music.train import said_of
from models.parts.keys import KEYS
from models.roll_vae.network import RollVAE
from models.roll_vae.spec import RollConfig

NAME, MIXER = "composer", "mixer"
CHOIR = ["Soprano", "Alto", "Tenor", "Bass"]
SMALL = {"width": 32, "heads": 2, "layers": 2, "encoder_layers": 1, "hidden": 64, "length": 128}
DURATIONS = [6, 12, 24, 36, 48]


def known(voices: int = 4) -> Known:
    ranges = [(60, 79), (55, 74), (48, 67), (40, 60)][:voices]
    tempos, usual = {"": 90.0, "reel": 200.0}, {"": "4/4", "reel": "2/2"}
    return Known(CHOIR[:voices], ranges, DURATIONS, ["4/4", "2/2"], ["reel"], [1] * len(KEYS), tempos, usual)


def chorale(bars: int = 4, seed: int = 0, pickup: float = 0.0) -> Score:
    """Four voices that move by chance on quarters and eighths."""
    random, notes = np.random.default_rng(seed), []
    for part, (low, high) in enumerate(known().ranges):
        now = 0.0
        while now < 4 * bars:
            duration = min(float(random.choice([0.5, 1.0, 2.0])), 4 * bars - now)
            notes.append(Note(now, duration, int(random.integers(low + 3, high - 2)), part))
            now += duration
    return Score(sorted(notes, key=lambda n: (n.start, -n.pitch)), 72.0, list("SATB"), pickup=pickup)


def item_of(score: Score) -> dict[str, Any]:
    """As it stands in a collection."""
    notes = [(n.start, n.duration, n.pitch, n.part) for n in score.notes]
    return {"notes": notes, "metre": score.metre, "phrase_ends": score.phrase_ends}


def network(voices: int = 4, **shape: int) -> MusicTransformer:
    torch.manual_seed(0)
    wanted = {**SMALL, "voices": voices, "durations": len(DURATIONS), "metres": 2, "kinds": 1, **shape}
    made = MusicTransformer(MusicConfig.model_validate(wanted)).eval()
    for parameter in made.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return made.requires_grad_(False)


def composed(sampler: MusicSampler, task: str, params: Any, seed: int, **inputs: Score) -> tuple[Score, Message | None]:
    """(the piece, what is remarked of it), of one score a role."""
    given: Any = {role: [score] for role, score in inputs.items()}
    (output,) = sampler.sample([Request(task, params, seed, given)], lambda *_: None)
    assert isinstance(output.value, Score)
    return output.value, output.remark


def mixer(**shape: int) -> RollVAE:
    """A VAE of music of four voices."""
    torch.manual_seed(0)
    config = {"bars": 2, "latent": 8, "width": 32, "heads": 2, "hidden": 64, "layers": 1, "bar_layers": 1, **shape}
    made = RollVAE(RollConfig.model_validate(config)).eval()
    for parameter in made.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return made.requires_grad_(False)


def publish(checkpoints: Path) -> None:
    """Put the checkpoints where a studio finds them."""
    vae = mixer()
    card = {"family": "roll-vae", "title": "Mixer", "config": vae.config.model_dump(), "voices": CHOIR, "keys": KEYS}
    write_model(checkpoints / MIXER, vae, card)
    made = network()
    card = {"family": "music-transformer", "title": "Composer", "config": made.config.model_dump(), **said_of(known())}
    write_model(checkpoints / NAME, made, card, {KNOWN: str(known())})
    pieces = [Score([Note(float(i), 1.0, first + i, 0) for i in range(8)], 90.0, ["Soprano"]) for first in (60, 67)]
    write_samples(checkpoints / NAME / SAMPLES, pieces)
