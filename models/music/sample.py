"""Writes music note by note, with a cache of what was written; what is given comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import loaded, read_text
from models.contract.composing import GENERATION
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request
from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung
from models.music.known import KNOWN, Known
from models.music.network import PITCHES, Batch, Memory, MusicTransformer
from models.music.spec import GenerationParams, MusicConfig
from models.music.work import Work, work_of
from models.parts.noise import gumbel
from models.parts.nucleus import nucleus
from models.parts.placed import bytes_of
from models.parts.transformer import KeyValueCache

SHEET = 6  # pieces


class MusicSampler:
    """A music transformer with what its collection has taught it."""

    batch_size = BATCHES[-1]

    def __init__(self, network: MusicTransformer, known: Known) -> None:
        self.network, self.known = network, known
        self.device = network.norm.weight.device
        self.memory_bytes = bytes_of(network)
        self.durations = torch.tensor(known.durations, device=self.device)

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep, free: bool = False) -> list[Output]:
        """One piece a request; all are written together. Where the music that it learnt avoids parallel fifths and
        octaves so does it, and where that closes in its key; `free`, it writes as it likes, which says how well it
        knows these.
        """
        works = [work_of(request, self.known) for request in batch]
        total = sum(work.frame.end for work in works) // TICKS
        self.write(works, lambda done: on_step(done, total, partial(previews, works)), free)
        return [Output(work.score(), remark=work.remark) for work in works]

    def write(self, works: list[Work], on_step: Callable[[int], None], free: bool) -> None:
        length = self.network.config.length
        noise = [gumbel(work.seed, work.most, PITCHES + len(self.known.durations)) for work in works]
        while all(not work.is_done and work.forced for work in works):  # no choice is needed
            for work in works:
                work.write(as_given(work))
        cache = self.network.empty_cache(len(works))
        memory: Memory | None = None
        position = length  # in the cache: nothing was read yet
        while not all(work.is_done for work in works):
            written = len(works[0].read)
            if memory is None or position == length:  # nothing was read yet, or it sees no further
                first = 0 if written < length else written - length // 2
                memory = self.read(works, first)
                x = self.decode(works, first, memory, cache, 0)
                position = written - first + 1
            else:
                x = self.decode(works, written, memory, cache, position)
                position += 1
            drawn = [each[min(len(work.sung), len(each) - 1)] for each, work in zip(noise, works, strict=True)]
            self.choose(x, works, torch.stack(drawn).to(self.device), free)
            on_step(sum(min(work.start, work.frame.end) for work in works) // TICKS)

    def decode(
        self, works: list[Work], first: int, memory: Memory, cache: list[KeyValueCache], position: int
    ) -> Tensor:
        """(B, width): what is known of the next note, once the cache has the notes before the `first` slot."""

        def of(rows: list[Any]) -> Tensor:
            return torch.tensor(rows, device=self.device, dtype=torch.int64)

        notes = [work.read[max(0, first - 1) :] for work in works]
        pitch = of(
            [[work.lowered(note.pitch, note.voice) for note in row] for work, row in zip(works, notes, strict=True)]
        )
        before = self.network.note(pitch, of([[self.id_of(note.duration) for note in row] for row in notes]))
        if first == 0:
            before = torch.cat([self.network.role[1].expand(len(works), 1, -1), before], 1)
        slots, start = of([work.slots[first:] for work in works]), of([work.starts[first:] for work in works])
        conditions = of([work.conditions for work in works])
        return self.network.decode(before, slots, start, conditions, memory, cache, position)[:, -1]

    def id_of(self, duration: int) -> int:
        """Of the known duration that is nearest."""
        return min(range(len(self.known.durations)), key=lambda i: abs(self.known.durations[i] - duration))

    def read(self, works: list[Work], first: int) -> Memory:
        """What is given of each from its `first` note on, as much as the network sees at once."""
        most = self.network.config.length
        rows = [sorted(note for note in work.given.values() if note.end > work.starts[first])[:most] for work in works]
        longest = max(1, *(len(row) for row in rows))
        filled = [row + [Sung(0, 0, 0, SILENCE)] * (longest - len(row)) for row in rows]

        def of(number: Callable[[Sung], int]) -> Tensor:
            return torch.tensor([[number(note) for note in row] for row in filled], device=self.device)

        slots = [
            [work.frame.slot(note.start, note.voice, []) for note in row]
            for work, row in zip(works, filled, strict=True)
        ]
        pitch = [
            [work.lowered(note.pitch, note.voice) for note in row] for work, row in zip(works, filled, strict=True)
        ]
        real = torch.tensor([[i < len(row) for i in range(longest)] for row in rows], device=self.device)
        return self.network.encode(
            Batch(
                pitch=torch.tensor(pitch, device=self.device),
                duration=of(lambda note: self.id_of(note.duration)),
                slots=torch.tensor(slots, device=self.device),
                start=of(lambda note: note.start),
                conditions=torch.tensor([work.conditions for work in works], device=self.device),
                given=real,
                real=real,
            )
        )

    def choose(self, x: Tensor, works: list[Work], noise: Tensor, free: bool) -> None:
        """The next note of each, of (B, width)."""
        params = [work.params for work in works]
        singable = torch.zeros(len(works), PITCHES, dtype=torch.bool, device=self.device)
        for i, work in enumerate(works):
            line = work.voice
            singable[i, [work.lowered(pitch, line) for pitch in work.able(free)]] = True
        logits = self.network.pitch_logits(x).float().masked_fill(~singable, -torch.inf)
        pitch = nucleus(logits, params, noise[:, :PITCHES])
        room = torch.tensor([max(1, work.room) for work in works], device=self.device)
        fits = self.durations <= room[:, None]
        for i, (work, chosen) in enumerate(zip(works, pitch.tolist(), strict=True)):
            if not (free or work.is_done or work.may_close(work.raised(chosen))):
                fits[i] &= self.durations < room[i]
        fits[~fits.any(1)] = True  # as much of one as there is room for
        logits = self.network.duration_logits(x, pitch).float().masked_fill(~fits, -torch.inf)
        duration = self.durations[nucleus(logits, params, noise[:, PITCHES:])].tolist()
        for i, (work, chosen) in enumerate(zip(works, pitch.tolist(), strict=True)):
            if work.is_done:
                work.write(work.read[-1])
            elif work.forced:
                work.write(as_given(work))
            else:
                work.write(Sung(work.start, work.voice, min(duration[i], work.room), work.raised(chosen)))

    def samples(self) -> list[Score]:
        """A few pieces."""
        kinds = (self.known.kinds or [None]) * SHEET  # type: ignore[list-item]
        asked = [Request(GENERATION, GenerationParams(kind=kinds[i], bars=8), i) for i in range(SHEET)]
        made = self.sample(asked, lambda step, total, previews: None)
        return [output.value for output in made if isinstance(output.value, Score)]


def as_given(work: Work) -> Sung:
    """The note that is given, or as much of it as there is room for."""
    note = work.forced
    assert note is not None
    return note._replace(duration=min(note.duration, work.room))


def previews(works: list[Work]) -> Previews:
    return [work.score() for work in works]


def load(folder: Path, device: torch.device, published: Path | None = None) -> MusicSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: MusicTransformer(MusicConfig(**config)))
    return MusicSampler(network.to(device), Known.read(read_text(folder, KNOWN, card)))
