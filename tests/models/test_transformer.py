"""The encoder-decoder transformer: masks, cache, guidance, and pictures that depend on their own seed alone."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.spec import FSQConfig
from models.checkpoint import write_model
from models.contract.registry import families
from models.contract.sampling import BATCHES, Cancelled, Output, Request, padded
from models.contract.values import Picture, Pixels, Value
from models.measure.prompted import watched_sheet
from models.painting.sampler import conditions, work_of
from models.parts.captions import prompt_encoder_of, texts_of
from models.parts.prompt import drop_prompts, hide_words
from models.parts.sentences import normalize
from models.parts.text import NULL, PAD, PromptEncoder, train_tokenizer
from models.parts.words import words_of
from models.transformer.network import TextToImageTransformer
from models.transformer.order import draw_gaps, order_of
from models.transformer.sample import Known, TransformerSampler, requests, sample_tokens
from models.transformer.spec import TransformerConfig, tasks_of

TEXTS = ["a red fox, noto style", "红色的狐狸，noto风格", "grinning face", "火箭"]


@cache
def network(whole: bool = True) -> TextToImageTransformer:
    """A small one with weights that are not zero, so that every path has an effect; one that is not for whole pictures
    alone draws in any order and takes references.
    """
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
            any_order=not whole,
            reference=not whole,
        )
    ).eval()
    for parameter in made.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return made.requires_grad_(False)


@cache
def sampler(whole: bool = False) -> TransformerSampler:
    torch.manual_seed(0)
    autoencoder = FSQAutoencoder(FSQConfig(widths=(32, 16, 16, 8))).eval().requires_grad_(False)
    return TransformerSampler(network(whole), autoencoder, prompts())


def tokens_of(batch: list[Request], **more: Any) -> Tensor:
    """Drawn without a sampler, which would decode them."""
    works = [work_of(request, 64) for request in padded(batch)]
    with torch.inference_mode():
        given = conditions(works, prompts(), takes_reference=False, device=torch.device("cpu"))
        return sample_tokens(network(), given, [work.request for work in works], **more)[: len(batch)]


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
    assert torch.equal(tokens_of(batch), tokens_of(batch, use_cache=False))


def test_two_hundred_seeds_alone_and_in_batches() -> None:
    """The same request gives the same picture alone or in a batch, as far as rounding allows."""
    with torch.inference_mode():
        everything = [requests([TEXTS[seed % 4]], seed=seed)[0] for seed in range(200)]
        alone = torch.cat([tokens_of([one]) for one in everything])
        mismatches = 0
        sizes = [2, 3, 5, 8, 16, 13]
        start = 0
        while start < len(everything):
            size = sizes[start % len(sizes)]
            together = tokens_of(everything[start : start + size])
            mismatches += int((together != alone[start : start + size]).any(1).sum())
            start += size
    print(f"{mismatches} of 200 differ")
    assert mismatches <= 2


def test_other_seeds_draw_other_pictures() -> None:
    with torch.inference_mode():
        drawn = tokens_of([requests(["a fox"], seed=s)[0] for s in range(8)])
    assert len({tuple(row.tolist()) for row in drawn}) == 8


def test_seeds_that_differ_by_two_to_the_32_draw_other_pictures() -> None:
    with torch.inference_mode():
        drawn = tokens_of([requests(["a fox"], seed=s)[0] for s in (7, 7 + 2**32, 7 + 2**40)])
    assert len({tuple(row.tolist()) for row in drawn}) == 3


def test_top_k_of_one_is_greedy_whatever_the_seed() -> None:
    with torch.inference_mode():
        drawn = tokens_of([requests(["a fox"], seed=s, top_k=1)[0] for s in range(4)])
    assert len({tuple(row.tolist()) for row in drawn}) == 1


def test_a_dropped_prompt_is_the_same_for_every_text() -> None:
    tokens, sentences = drop_prompts(*encoded(["a fox", "火箭"]), torch.tensor([True, True]))
    assert torch.equal(tokens[0], tokens[1]) and tokens[0, 0] == NULL
    assert not sentences.any()


def test_hidden_words_leave_their_meaning() -> None:
    tokens, sentences = encoded(["a fox", "火箭"])
    hidden = hide_words(tokens, torch.tensor([True, False]))
    null, _ = drop_prompts(tokens, sentences, torch.tensor([True, True]))
    assert torch.equal(hidden[0], null[0]) and torch.equal(hidden[1], tokens[1])
    with torch.no_grad():
        memory, _ = network().read(hidden[:1], sentences[:1])
        nothing, _ = network().read(null[:1], torch.zeros_like(sentences[:1]))
    assert not torch.allclose(memory[:, 0], nothing[:, 0]), "and a dropped prompt leaves nothing"


def test_a_sampler_reports_steps_draws_previews_and_can_be_left() -> None:
    seen: list[int] = []

    def watch(step: int, total: int, previews: object) -> None:
        seen.append(step)
        pictures = previews()  # type: ignore[operator]
        assert len(pictures) == 2 and pictures[0].pixels.shape == (64, 64, 3)
        assert (pictures[0].pixels[step:] == 255).all(), "rows that are not yet drawn stay white"
        if step == 24:
            raise Cancelled

    with pytest.raises(Cancelled):
        sampler(whole=True).sample(requests(TEXTS[:2], seed=0), watch)
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


def test_an_emoji_is_read_as_its_name_unless_captions_had_it_alone() -> None:
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
    assert learnt.knows("🦊") and learnt.spelled("a 🦊") == "a 🦊", "of its name nothing is known"
    named = PromptEncoder(learnt.tokenizer, 32, words_of(["a red fox", "🦊"]))
    assert named.spelled("a 🦊").split() == ["a", "fox"], "more captions have the name"
    other = PromptEncoder(learnt.tokenizer, 32, words_of(["狐狸", "🦊"]))
    assert other.spelled("a 🦊") == "a 🦊", "no caption has the name"
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


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_is_known_comes_first_and_both_in_reading_order() -> None:
    gap = torch.tensor([[True, False, True, False], [True, True, True, True]])
    assert order_of(gap).tolist() == [[1, 3, 0, 2], [0, 1, 2, 3]]


def test_gaps_are_scattered_or_rectangles_or_all_around_one_and_the_rest_are_whole_pictures() -> None:
    gaps = draw_gaps(4000, 8, 0.25, random()).view(-1, 8, 8)
    whole = gaps.flatten(1).all(1)
    assert float(whole.float().mean()) == pytest.approx(0.75, abs=0.03)
    parts = gaps[~whole]
    bounds = [grid.any(1).sum() * grid.any(0).sum() == grid.sum() for grid in parts]
    around = [grid.any(1).sum() * grid.any(0).sum() == grid.sum() and bool(grid.any()) for grid in ~parts]
    assert 0.25 < sum(map(int, bounds)) / len(parts) < 0.6 and 0.25 < sum(map(int, around)) / len(parts) < 0.6
    assert not gaps[:, 0, 0].all() and not gaps[:, 7, 7].all(), "any place may be known"


def test_in_any_order_a_token_depends_on_those_before_it_only_and_on_where_they_stand() -> None:
    made, (tokens, sentences) = network(whole=False), encoded(["a fox"])
    images = torch.randint(1000, (1, 64), generator=random(1))
    order = torch.randperm(64, generator=random(2))[None]
    changed = images.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 1000
    before, after = (made(each, tokens, sentences, order=order) for each in (images, changed))
    assert torch.equal(before[:, :21], after[:, :21])
    assert not torch.allclose(before[:, 21:], after[:, 21:])
    swapped = order.clone()
    swapped[0, [3, 7]] = order[0, [7, 3]]  # the same tokens, known of other places
    moved = made(images, tokens, sentences, order=swapped)
    assert torch.equal(before[:, :3], moved[:, :3]) and not torch.allclose(before[:, 8:], moved[:, 8:])


def test_an_order_in_reading_order_is_that_of_none() -> None:
    made, (tokens, sentences) = network(whole=False), encoded(["a fox", "火箭"])
    images = torch.randint(1000, (2, 64), generator=random())
    order = torch.arange(64).expand(2, -1)
    assert torch.allclose(made(images, tokens, sentences), made(images, tokens, sentences, order=order), atol=1e-5)


def test_the_likeliest_of_the_candidates_is_kept() -> None:
    asked_for = {count: requests(["a fox"], seed=3, candidates=count) for count in (1, 2, 5)}
    found = {count: tokens_of(batch)[0] for count, batch in asked_for.items()}
    given = encoded(["a fox"])

    def likelihood(tokens: Tensor) -> float:
        logits = network()(tokens[None], *given).log_softmax(-1)
        return float(logits.gather(2, tokens[None, :, None]).sum())

    told: list[Tensor] = []
    tokens_of(asked_for[5], on_step=lambda tokens, done: told.append(tokens))
    assert likelihood(found[5]) >= likelihood(found[2]) >= likelihood(found[1])
    assert likelihood(found[5]) > likelihood(found[1]), "five by chance, none of which is likelier than the first"
    assert len(told) == 64 and torch.equal(told[-1][0], found[5])
    together = tokens_of(asked_for[1] + asked_for[5] + asked_for[2])
    assert torch.equal(together, torch.stack([found[1], found[5], found[2]])), "by itself as in a batch"


def test_of_what_is_known_nothing_is_drawn_and_the_cache_changes_nothing() -> None:
    batch, made = requests(TEXTS, seed=3), network(whole=False)
    gap = draw_gaps(4, 8, 1.0, random(4))
    tokens = torch.randint(1000, (4, 64), generator=random(5))
    known = Known(tokens, order_of(gap), (~gap).sum(1))
    works = [work_of(request, 64) for request in batch]
    with torch.inference_mode():
        given = conditions(works, prompts(), takes_reference=False, device=torch.device("cpu"))
        drawn = sample_tokens(made, given, batch, known)
        assert torch.equal(drawn, sample_tokens(made, given, batch, known, use_cache=False))
    assert torch.equal(drawn[~gap], tokens[~gap]) and not torch.equal(drawn[gap], tokens[gap])


def picture(height: int, width: int, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def asked(task: str, inputs: dict[str, Sequence[Value]], seed: int = 1, **params: float | str) -> Request:
    found = next(each for each in families()["text-to-image-transformer"].tasks if each.name == task)
    words = {"prompt": "a fox"} if "prompt" in found.params.model_fields else {}
    return Request(task, found.params(**words | params), seed, inputs)


def pixels(*batch: Request) -> list[Pixels]:
    return [output.pixels for output in sampler().sample(list(batch), lambda *_: None)]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (90, 200)])
def test_outside_the_mask_a_picture_stays_bit_for_bit(height: int, width: int) -> None:
    given, marked = picture(height, width), np.zeros((height, width, 3), np.uint8)
    marked[10:40, 20:50], marked[40:44, 20:50] = 255, 120
    (made,) = pixels(asked("inpainting", {"image": [given], "mask": [Picture(marked)]}))
    assert made.shape == given.pixels.shape and np.array_equal(made[marked == 0], given.pixels[marked == 0])
    assert not np.array_equal(made[10:40, 20:50], given.pixels[10:40, 20:50])


def test_a_picture_goes_on_beyond_its_edges_and_stays_itself() -> None:
    given = picture(64, 64)
    (made,) = pixels(asked("outpainting", {"image": [given]}, left=32))
    assert made.shape == (64, 96, 3) and np.array_equal(made[:, 32:], given.pixels)


def test_the_less_strength_the_more_of_a_picture_stays() -> None:
    given = picture(64, 64)
    for task in ("image-to-image", "image-variation"):
        batch = [asked(task, {"image": [given]}, strength=strength) for strength in (1.0, 0.5, 0.05)]
        none, some, most = sampler().known([work_of(request, 64) for request in batch], 0).counts.tolist()
        assert none == 0 and 20 < some < 44 and 56 < most < 64
        assert len({each.tobytes() for each in pixels(*batch)}) == 3


def test_squares_of_one_work_are_drawn_with_noise_of_their_own() -> None:
    batch = requests(["a fox"], seed=4)
    first, second = tokens_of(batch, turn=0), tokens_of(batch, turn=1)
    assert torch.equal(first, tokens_of(batch)) and not torch.equal(first, second)


def test_a_picture_to_go_by_matters_and_works_share_a_batch_with_others() -> None:
    plain = asked("text-to-image", {})
    led = asked("text-to-image", {"reference": [picture(40, 30)]})
    other = asked("text-to-image", {"reference": [picture(30, 40, 1)]})
    part = asked("outpainting", {"image": [picture(64, 64)]}, right=64)
    alone = [pixels(each)[0] for each in (plain, led, other, part)]
    assert len({each.tobytes() for each in alone}) == 4
    together = pixels(plain, led, other, part)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(alone, together, strict=True))


def test_what_a_checkpoint_was_not_trained_for_is_not_offered() -> None:
    def names(**config: bool) -> list[str]:
        return [task.name for task in tasks_of({"config": config})]

    assert names() == ["text-to-image"] and len(names(any_order=True, reference=True)) == 5
    assert not any(task.input("reference") for task in tasks_of({"config": {"any_order": True}}))
