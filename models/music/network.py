"""An encoder-decoder that writes music in voices: the encoder reads the notes that are given, the decoder writes the
piece note by note and looks at them (Vaswani et al., "Attention Is All You Need", 2017).

What comes next is known before it is written: the voice that ends first goes on, at the place where it ends. So a
note is two choices, its pitch and its duration, and needs no token for the time or the voice; what is known of the next
note is embedded beside the last one, as SongNet does with the form of verse (Li et al., 2020). Both sides turn their
heads by time in place of order (Su et al., "RoFormer", 2021): notes that sound together stand together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contract.voices import SILENCE
from models.music.spec import MusicConfig
from models.parts.attention import KeyValue, Norm, dot_product_attention
from models.parts.causal import BASE, CausalLayer, turned
from models.parts.transformer import KeyValueCache, Rotary

PITCHES, OCTAVE = 128, 12
# Until the end; places within a beat; beats of a bar; beats of a phrase: those beyond are the last.
QUARTERS, PLACES, BEATS, PHRASES = 64, 24, 16, 32
TIME = 6  # ticks that heads turn by as by one token
# Columns of a slot: beats until the phrase ends and the note on which the lowest voice closes it, each 0 where nothing
# is known; from the last on what each voice sings.
VOICE, BEAT, PLACE, PHRASE, CLOSE, SOUNDING = 0, 1, 2, 4, 5, 6


@dataclass
class Batch:
    """B pieces of N notes: `pitch` and `duration` (B, N), `slots` (B, N, 6 + voices), `start` (B, N) in ticks,
    `conditions` (B, 4): mode, height, metre, kind, 0 where nothing is said. `given` (B, N): notes that the encoder
    reads; `real` (B, N): those that are no padding. All is in C major or A minor; the height says by how much it was
    moved there, so that voices stay in their range.
    """

    pitch: Tensor
    duration: Tensor
    slots: Tensor
    start: Tensor
    conditions: Tensor
    given: Tensor
    real: Tensor

    def rows(self, rows: slice, device: torch.device) -> Batch:
        return Batch(*(getattr(self, name)[rows].to(device) for name in self.__dataclass_fields__))


@dataclass
class Memory:
    """Keys and values of each decoder layer, and what of them there is (B, 1, 1, M)."""

    layers: list[KeyValue]
    mask: Tensor


class PitchEmbedding(nn.Module):
    """(...) pitches -> (..., width). Octaves are alike: what a pitch class is, a few pieces say more often."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.each, self.pitch_class = nn.Embedding(PITCHES, width), nn.Embedding(OCTAVE, width)

    def forward(self, pitch: Tensor) -> Tensor:
        found: Tensor = self.each(pitch) + self.pitch_class(pitch % OCTAVE)
        return found


class ReadingLayer(CausalLayer):
    """A decoder's layer: between self-attention and feed-forward it looks at what the encoder has read."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__(width, heads, hidden, dropout)
        self.norm3 = Norm(width)
        self.query, self.key_value = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.memory_gain = nn.Parameter(torch.ones(2, heads, 1, self.head_width))  # of queries and keys
        self.read_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.read_out.weight)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, N, D) -> (B, heads, N, D / heads)

    def turn(self, x: Tensor, which: int, rotary: Rotary) -> Tensor:
        normed = F.rms_norm(x, (self.head_width,)) * self.memory_gain[which].type_as(x)
        return turned(normed, rotary).type_as(x)

    def keys_and_values(self, memory: Tensor, rotary: Rotary) -> KeyValue:
        """(B, M, D) -> keys and values, to be computed once."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        return self.turn(self.split(key), 1, rotary), self.split(value)

    def decode(
        self,
        x: Tensor,
        rotary: Rotary,
        memory: KeyValue,
        memory_mask: Tensor,
        cache: KeyValueCache | None = None,
        position: int = 0,
    ) -> Tensor:
        """See `CausalLayer.forward`."""
        x = self.attend(x, rotary, None, cache, position)
        query = self.turn(self.split(self.query(self.norm3(x))), 0, rotary)
        read = dot_product_attention(query, *memory, memory_mask)
        x = x + self.dropout(self.read_out(read.transpose(1, 2).flatten(2)))
        return self.feed_forward(x)


class MusicTransformer(nn.Module):
    """p(pitch and duration of a note | the notes before it, those that are given, mode, metre and kind)."""

    def __init__(self, config: MusicConfig, dropout: float = 0.0, note_dropout: float = 0.0) -> None:
        super().__init__()
        self.config, self.note_dropout = config, note_dropout
        width, voices = config.width, config.voices
        self.pitch, self.duration = PitchEmbedding(width), nn.Embedding(config.durations, width)
        places = [nn.Embedding(size, width) for size in (voices, BEATS, PLACES, QUARTERS)]
        self.slots = nn.ModuleList([*places, *(PitchEmbedding(width) for _ in range(voices))])
        self.phrase = nn.Embedding(1 + PHRASES, width) if config.phrases else None
        self.close = nn.Embedding(1 + OCTAVE, width) if config.phrases else None
        self.conditions = nn.ModuleList(nn.Embedding(1 + n, width) for n in (2, 12, config.metres, config.kinds))
        self.role = nn.Parameter(torch.zeros(2, width))  # of the token that stands before all, on either side
        shape = (width, config.heads, config.hidden, dropout)
        self.encoder = nn.ModuleList(CausalLayer(*shape, causal=False) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(ReadingLayer(*shape) for _ in range(config.layers))
        self.dropout = nn.Dropout(dropout)
        self.memory_norm, self.norm = Norm(width), Norm(width)
        self.pitch_head, self.pitch_class_head = nn.Linear(width, PITCHES), nn.Linear(width, OCTAVE, bias=False)
        self.chosen_pitch = PitchEmbedding(width)
        self.duration_norm, self.duration_head = Norm(width), nn.Linear(width, config.durations)
        head_width = width // config.heads
        frequencies = 1.0 / BASE ** (torch.arange(0, head_width, 2) / head_width)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor
        for table in self.modules():
            if isinstance(table, nn.Embedding):
                nn.init.normal_(table.weight, std=0.02)

    def turns(self, start: Tensor) -> Rotary:
        """Of notes that start at (B, N) ticks: cosines and sines (B, 1, N, head width / 2)."""
        angles = (start / TIME)[:, None, :, None] * self.frequencies
        return angles.cos(), angles.sin()

    def note(self, pitch: Tensor, duration: Tensor) -> Tensor:
        known: Tensor = self.pitch(pitch) + self.duration(duration)
        return known

    def slot(self, slots: Tensor, conditions: Tensor) -> Tensor:
        """What is known of notes (B, N, 6 + voices) before they are written, or the first of it, and of their
        pieces.
        """
        parts = slots.unbind(-1)
        tables = [*self.slots[:PHRASE], self.phrase, self.close, *self.slots[PHRASE:]]
        found = sum(table(part) for table, part in zip(tables, parts, strict=False) if table is not None)
        assert isinstance(found, Tensor)
        return found + self.condition(conditions)[:, None]

    def condition(self, conditions: Tensor) -> Tensor:
        found = sum(table(part) for table, part in zip(self.conditions, conditions.unbind(-1), strict=True))
        assert isinstance(found, Tensor)
        return found

    def encode(self, batch: Batch) -> Memory:
        """Reads the notes that are given; with none of them there is only what is said of the piece."""
        most = max(1, int(batch.given.sum(1).max()))
        order = (~batch.given).byte().argsort(dim=1, stable=True)[:, :most]  # those that are given come first

        def of(tensor: Tensor) -> Tensor:
            at = order if tensor.dim() == 2 else order[..., None].expand(-1, -1, tensor.size(2))
            return tensor.gather(1, at)

        own = of(batch.slots)[..., :SOUNDING]  # what sounds beside them may not be given
        x = self.note(of(batch.pitch), of(batch.duration)) + self.slot(own, batch.conditions)
        first = (self.role[0] + self.condition(batch.conditions))[:, None]
        x = self.dropout(torch.cat([first.type_as(x), x], 1))
        seen = F.pad(of(batch.given), (1, 0), value=True)
        mask, turns = seen[:, None, None], self.turns(F.pad(of(batch.start), (1, 0)))
        for layer in self.encoder:
            x = layer(x, turns, mask)
        x = self.memory_norm(x)
        return Memory([layer.keys_and_values(x, turns) for layer in self.readers()], mask)

    def readers(self) -> list[ReadingLayer]:
        return [layer for layer in self.decoder if isinstance(layer, ReadingLayer)]

    def forward(self, batch: Batch) -> Tensor:
        """Teacher forcing: what is known (B, N, width) before each note is written."""
        before, slots = self.note(batch.pitch[:, :-1], batch.duration[:, :-1]), batch.slots
        if self.training:
            before, slots = self.without_some(before, slots)
        begin = self.role[1].type_as(before).expand(before.size(0), 1, -1)
        memory = self.encode(batch)
        return self.decode(torch.cat([begin, before], 1), slots, batch.start, batch.conditions, memory)

    def without_some(self, before: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Hides notes before, and what sounds beside them, by chance, so that one wrong note is not followed far: word
        dropout (Bowman et al., "Generating Sentences from a Continuous Space", 2016).
        """
        kept, heard = (torch.rand(slots.shape[:2], device=slots.device) >= self.note_dropout for _ in range(2))
        sounding = slots[..., SOUNDING:].masked_fill(~heard[..., None], SILENCE)
        return before * kept[:, 1:, None], torch.cat([slots[..., :SOUNDING], sounding], -1)

    def decode(
        self,
        before: Tensor,
        slots: Tensor,
        start: Tensor,
        conditions: Tensor,
        memory: Memory,
        cache: list[KeyValueCache] | None = None,
        position: int = 0,
    ) -> Tensor:
        """The embedded notes (B, N, width) before those that `slots` are of; see `CausalLayer` for the cache."""
        x = self.dropout(before + self.slot(slots, conditions))
        turns = self.turns(start)
        for i, layer in enumerate(self.readers()):
            x = layer.decode(x, turns, memory.layers[i], memory.mask, cache[i] if cache else None, position)
        return self.norm(x)

    def pitch_logits(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., 128)."""
        octaves = -(-PITCHES // OCTAVE)
        made: Tensor = self.pitch_head(x) + self.pitch_class_head(x).tile(octaves)[..., :PITCHES]
        return made

    def duration_logits(self, x: Tensor, pitch: Tensor) -> Tensor:
        """Once the pitch is chosen: (..., width) and (...) -> (..., durations)."""
        made: Tensor = self.duration_head(self.duration_norm(x + self.chosen_pitch(pitch)))
        return made

    def empty_cache(self, batch: int) -> list[KeyValueCache]:
        shape = (batch, self.config.heads, self.config.length, self.config.width // self.config.heads)
        return [KeyValueCache(self.norm.weight, *shape) for _ in self.decoder]
