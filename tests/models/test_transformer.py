"""The encoder-decoder transformer: masks, cache, guidance, and pictures that depend on their own seed alone."""

from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.spec import FSQConfig
from models.checkpoint import write_model
from models.contract.sampling import BATCHES, Cancelled, Output, Request, padded
from models.contract.values import Picture
from models.measure.prompted import watched_sheet
from models.parts.captions import prompt_encoder_of, texts_of
from models.parts.prompt import drop_prompts
from models.parts.sentences import normalize
from models.parts.text import NULL, PAD, PromptEncoder, train_tokenizer
from models.parts.words import words_of
from models.transformer.network import TextToImageTransformer
from models.transformer.sample import TransformerSampler, requests, sample_tokens
from models.transformer.spec import TransformerConfig

TEXTS = ["a red fox, noto style", "红色的狐狸，noto风格", "grinning face", "火箭"]


@cache
def network() -> TextToImageTransformer:
    """A small one with weights that are not zero, so that every path has an effect."""
    torch.manual_seed(0)
    made = TextToImageTransformer(
        TransformerConfig(
            width=64,
            heads=4,
            encoder_layers=1,
            decoder_layers=2,
            encoder_hidden=64,
            decoder_hidden=64,
            text_vocabulary=400,
        )
    ).eval()
    for parameter in made.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return made.requires_grad_(False)


@cache
def prompts() -> PromptEncoder:
    return PromptEncoder(train_tokenizer(TEXTS * 3, 400), 32)


def encoded(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, sentences = prompts().encode(texts)
    return torch.from_numpy(tokens), torch.from_numpy(sentences)


def test_a_token_depends_on_those_before_it_only() -> None:
    tokens, sentences = encoded(["a fox"])
    images = torch.randint(1000, (1, 64), generator=torch.Generator().manual_seed(1))
    changed = images.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 1000
    before, after = network()(images, tokens, sentences), network()(changed, tokens, sentences)
    assert torch.equal(before[:, :21], after[:, :21])
    assert not torch.allclose(before[:, 21:], after[:, 21:])


def test_padding_of_a_prompt_changes_nothing() -> None:
    tokens, sentences = encoded(["a fox"])
    images = torch.zeros(1, 64, dtype=torch.long)
    used = int((tokens != PAD).sum())
    short, padded = tokens[:, :used], tokens
    assert torch.allclose(network()(images, short, sentences), network()(images, padded, sentences), atol=1e-5)


def test_the_prompt_and_the_sentence_both_matter() -> None:
    tokens, sentences = encoded(["a fox", "火箭"])
    images = torch.zeros(1, 64, dtype=torch.long)
    base = network()(images, tokens[:1], sentences[:1])
    assert not torch.allclose(base, network()(images, tokens[1:], sentences[:1]))
    assert not torch.allclose(base, network()(images, tokens[:1], sentences[1:]))


def test_cached_sampling_draws_the_same_tokens_as_without_a_cache() -> None:
    batch = requests(TEXTS, seed=3)
    with torch.inference_mode():
        assert torch.equal(
            sample_tokens(network(), prompts(), batch), sample_tokens(network(), prompts(), batch, use_cache=False)
        )


def test_two_hundred_seeds_alone_and_in_batches() -> None:
    """The same request gives the same picture alone or in a batch, as far as rounding allows."""
    with torch.inference_mode():
        everything = [requests([TEXTS[seed % 4]], seed=seed)[0] for seed in range(200)]
        alone = torch.cat([sample_tokens(network(), prompts(), [one]) for one in everything])
        mismatches = 0
        sizes = [2, 3, 5, 8, 16, 13]
        start = 0
        while start < len(everything):
            size = sizes[start % len(sizes)]
            together = sample_tokens(network(), prompts(), everything[start : start + size])
            mismatches += int((together != alone[start : start + size]).any(1).sum())
            start += size
    print(f"{mismatches} of 200 differ")
    assert mismatches <= 2


def test_other_seeds_draw_other_pictures() -> None:
    with torch.inference_mode():
        drawn = sample_tokens(network(), prompts(), [requests(["a fox"], seed=s)[0] for s in range(8)])
    assert len({tuple(row.tolist()) for row in drawn}) == 8


def test_seeds_that_differ_by_two_to_the_32_draw_other_pictures() -> None:
    with torch.inference_mode():
        drawn = sample_tokens(network(), prompts(), [requests(["a fox"], seed=s)[0] for s in (7, 7 + 2**32, 7 + 2**40)])
    assert len({tuple(row.tolist()) for row in drawn}) == 3


def test_top_k_of_one_is_greedy_whatever_the_seed() -> None:
    with torch.inference_mode():
        drawn = sample_tokens(network(), prompts(), [requests(["a fox"], seed=s, top_k=1)[0] for s in range(4)])
    assert len({tuple(row.tolist()) for row in drawn}) == 1


def test_a_dropped_prompt_is_the_same_for_every_text() -> None:
    tokens, sentences = drop_prompts(*encoded(["a fox", "火箭"]), torch.tensor([True, True]))
    assert torch.equal(tokens[0], tokens[1]) and tokens[0, 0] == NULL
    assert not sentences.any()


def test_a_sampler_reports_steps_draws_previews_and_can_be_left() -> None:
    sampler = TransformerSampler(network(), FSQAutoencoder(FSQConfig(widths=(32, 16, 16, 8))), prompts())
    seen: list[int] = []

    def watch(step: int, total: int, previews: object) -> None:
        seen.append(step)
        pictures = previews()  # type: ignore[operator]
        assert len(pictures) == 2 and pictures[0].pixels.shape == (64, 64, 3)
        assert (pictures[0].pixels[step:] == 255).all(), "rows that are not yet drawn stay white"
        if step == 24:
            raise Cancelled

    with pytest.raises(Cancelled):
        sampler.sample(requests(TEXTS[:2], seed=0), watch)
    assert seen == [8, 16, 24]


def test_a_sheet_has_any_number_of_prompts_of_any_length() -> None:
    class Paper:
        batch_size = BATCHES[-1]

        def sample(self, batch: list[Request], on_step: object) -> list[Output]:
            assert len(padded(batch)) <= self.batch_size
            return [Output(Picture(np.zeros((8, 8, 3), np.uint8))) for _ in batch]

    sheet = watched_sheet(cast(TransformerSampler, Paper()), requests, ["a long caption " * 60] * 20)
    assert sheet.size == (6 * 8 * 2, 4 * 8 * 2)


@pytest.mark.parametrize(("width", "heads"), [(264, 12), (96, 16), (32, 16)])
def test_a_heads_width_is_a_multiple_of_four(width: int, heads: int) -> None:
    with pytest.raises(ValidationError, match="four times the heads"):
        TransformerConfig(width=width, heads=heads)


def test_prompts_are_normalised_and_any_script_has_tokens() -> None:
    assert normalize("  A  Ｆｏｘ ") == "a fox"
    tokens = prompts().tokens(["狐狸 🦊 \u202e אבג", "x" * 1000])
    assert tokens.shape == (2, 32) and (tokens != PAD).any(1).all()


def test_an_emoji_is_read_as_its_name_unless_captions_had_it() -> None:
    plain = PromptEncoder(train_tokenizer(TEXTS * 3, 400), 32)
    for emoji, name in (
        ("🦊", "fox"),
        ("a ❤️ on 🍕", "a red heart on pizza"),
        ("👩‍🚀", "woman astronaut"),
        ("☀️", "sun"),
    ):
        assert np.array_equal(plain.encode([emoji])[0], plain.encode([name])[0]), emoji
        assert np.allclose(plain.encode([emoji])[1], plain.encode([name])[1])
    learnt = PromptEncoder(train_tokenizer([*TEXTS, "🦊", "🦊 noto style"] * 9, 400), 32)
    assert learnt.knows("🦊") and learnt.spelled("a 🦊") == "a 🦊"
    assert plain.spelled("3 * 5 #1") == "3 * 5 #1", "digits and signs are no emoji"


CAPTIONS = ["A red fox, noto style", "cats running in the rain", "红色的龙", "an artist’s brush", "naïve café"]


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("two foxes and a cat that ran, please", ["ran"]),  # a form that no rule bends
        ("Runs, CATS; rains 3 times in 2024!", ["times"]),
        ("a zebra with a zebra and an okapi", ["zebra", "okapi"]),
        ("红色的龍和埃菲尔铁塔", ["埃菲尔铁塔"]),
        ("紅龍", []),  # the same in traditional characters
        ("un renard naïf au café", ["un", "renard", "naïf", "au"]),
        ("cafe\u0301", []),
        ("красная fox", ["красная"]),
        ("🦊", []),
        ("🦓", ["zebra"]),
        ("artist's brushes", []),
        ("", []),
        ("!? 12 4k ½ \u202e", []),
    ],
)
def test_a_prompt_is_told_which_words_no_caption_had(prompt: str, unknown: list[str]) -> None:
    encoder = PromptEncoder(train_tokenizer(CAPTIONS * 9, 400), 200, words_of(CAPTIONS))
    assert encoder.words and encoder.words.unknown(encoder.spelled(prompt)) == unknown
    remark = encoder.remark(prompt)
    assert (remark.values["words"] if remark else "") == ", ".join(unknown)


def test_traditional_characters_are_read_as_what_captions_had() -> None:
    encoder = PromptEncoder(train_tokenizer(CAPTIONS * 9, 400), 32, words_of(CAPTIONS))
    assert encoder.spelled("紅色的龍") == "红色的龙"
    taught = PromptEncoder(train_tokenizer(["紅色的龍"] * 9, 400), 32, words_of(["紅色的龍"]))
    assert taught.spelled("紅色的龍") == "紅色的龍" and taught.words and taught.words.unknown("红") == ["红"]


def test_a_remark_stays_short_and_one_on_length_comes_first() -> None:
    encoder = PromptEncoder(train_tokenizer(CAPTIONS * 9, 400), 2000, words_of(CAPTIONS))
    remark = encoder.remark(" ".join(f"{letter}zz{'q' * 90}" for letter in "abcdefghi"))
    assert remark and remark.values["more"] == 3 and len(str(remark)) < 250
    short = PromptEncoder(encoder.tokenizer, 4, words_of(CAPTIONS))
    assert (told := short.remark("zebra " * 9)) and told.values["most"] == 4


def test_the_words_of_a_model_go_with_its_tokenizer(tmp_path: Path) -> None:
    encoder = PromptEncoder(train_tokenizer(CAPTIONS * 9, 400), 32, words_of(CAPTIONS))
    write_model(tmp_path / "new", nn.Linear(1, 1), {"family": "x"}, texts_of(encoder))
    again = prompt_encoder_of(tmp_path / "new", 32)
    assert again.words and again.words.words == words_of(CAPTIONS).words
    write_model(tmp_path / "old", nn.Linear(1, 1), {"family": "x"}, {"tokenizer.json": encoder.tokenizer.to_str()})
    assert prompt_encoder_of(tmp_path / "old", 32).remark("zebra") is None, "a model of before says nothing of words"


def test_close_meanings_lie_close_across_languages() -> None:
    fox, fuchs, rocket = prompts().sentences.encode(["red fox", "红色的狐狸", "space rocket"])
    assert np.dot(fox, fuchs) > np.dot(fox, rocket) + 0.2
