"""The flow transformer: lines from noise to pictures, solvers, guidance, and pictures that depend on their own seed."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from app.datasets.prepared import Item, write_prepared
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.spec import KLConfig
from models.contract.registry import families
from models.contract.sampling import Request, Unfit
from models.contract.values import Picture, Value
from models.data.pictures import open_collection
from models.diffusion import train as training
from models.diffusion.flow import as_wide, draw_times, flow_loss, mixed, solve, times
from models.diffusion.network import FlowTransformer
from models.diffusion.sample import FlowSampler, load, requests
from models.diffusion.spec import FlowConfig, FlowTraining, problem, tasks_of
from models.parts.prompt import drop_prompts
from models.parts.text import PAD, PromptEncoder, train_tokenizer
from models.training.run import Run

TEXTS = ["a red fox, noto style", "红色的狐狸，noto风格", "grinning face", "火箭"]
SMALL = {"width": 64, "heads": 4, "layers": 2, "hidden": 64, "encoder_layers": 1, "encoder_hidden": 64}
SMALL |= {"text_vocabulary": 400, "size": 16, "patch": 4}


@cache
def network(reference: bool = False) -> FlowTransformer:
    """A small one with weights that are not zero, so that every path has an effect."""
    torch.manual_seed(0)
    config = FlowConfig(**SMALL, reference=reference)
    made = FlowTransformer(config).eval()
    for parameter in made.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.1)
    return made.requires_grad_(False)


@cache
def prompts() -> PromptEncoder:
    return PromptEncoder(train_tokenizer(TEXTS * 3, 400), 32)


def encoded(texts: list[str]) -> tuple[Tensor, Tensor]:
    tokens, sentences = prompts().encode(texts)
    return torch.from_numpy(tokens), torch.from_numpy(sentences)


def test_the_line_begins_at_the_noise_and_ends_at_the_picture() -> None:
    x, noise = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    assert torch.equal(mixed(x, noise, torch.tensor([0.0, 1.0]))[0], noise[0])
    assert torch.equal(mixed(x, noise, torch.tensor([0.0, 1.0]))[1], x[1])


def test_the_velocity_of_the_true_picture_is_that_of_the_line() -> None:
    x, noise, t = torch.randn(3, 3, 4, 4), torch.randn(3, 3, 4, 4), torch.tensor([0.0, 0.5, 0.9])
    z = mixed(x, noise, t)
    assert torch.allclose((x - z) / as_wide(1 - t, x), x - noise, atol=1e-4)
    wrong = x + 0.1
    by_velocity = ((wrong - z) / as_wide(1 - t, x) - (x - noise)).square().flatten(1).mean(1)
    assert torch.allclose(flow_loss(wrong, x, t), by_velocity, rtol=1e-3)


def test_times_have_the_median_that_was_asked_for() -> None:
    drawn = draw_times(20_000, -0.8, 0.8, torch.Generator().manual_seed(0))
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert float(drawn.median()) == pytest.approx(1 / (1 + np.exp(0.8)), abs=0.01)


def test_every_way_has_its_own_start_and_ends_at_one() -> None:
    assert times(4, torch.tensor([0.0, 0.6])).T.tolist() == [
        pytest.approx([0, 0.25, 0.5, 0.75, 1]),
        pytest.approx([0.6, 0.7, 0.8, 0.9, 1]),
    ]


def test_the_solver_finds_the_mean_of_a_gaussian_and_is_of_second_order() -> None:
    """For data N(m, s^2) the best foreseen picture is known, and so is where each noise must end: at m + s noise."""
    mean, std = 0.7, 0.3
    noise = torch.randn(64, 1, 2, 2, generator=torch.Generator().manual_seed(0))

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        t = t.view(-1, 1, 1, 1)
        gain = t * std**2 / (t**2 * std**2 + (1 - t) ** 2)
        return mean + gain * (z - t * mean)

    told: list[int] = []

    def error(steps: int, start: float) -> float:
        """At 0.5 a point that began at `noise` is where its line to the end has come."""
        schedule = times(steps, torch.full((64,), start))
        spread = float(np.hypot(start * std, 1 - start))
        z = start * mean + spread * noise
        made = solve(denoise, z, schedule, lambda step, x: told.append(step))
        return float((made - (mean + std * noise)).abs().mean())

    for start in (0.0, 0.5):
        assert error(8, start) < 0.03
        few, many = error(64, start), error(256, start)
        assert told[-256:] == list(range(1, 257))
        assert many < few / 8, "of first order a quarter is left with four times the steps"


def test_what_is_known_is_put_back_at_every_step() -> None:
    known, noise = torch.full((2, 1, 2, 2), 0.5), torch.randn(2, 1, 2, 2)
    seen: list[Tensor] = []

    def keep(z: Tensor, t: Tensor) -> Tensor:
        z = z.clone()
        z[:, :, 0] = mixed(known, noise, t)[:, :, 0]
        return z

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        seen.append(z)
        return torch.zeros_like(z)

    made = solve(denoise, noise, times(4, torch.zeros(2)), lambda step, x: None, keep)
    assert torch.equal(made[:, :, 0], known[:, :, 0]) and made[:, :, 1].abs().max() == 0
    assert torch.allclose(seen[2][:, :, 0], mixed(known, noise, torch.tensor([0.5, 0.5]))[:, :, 0])


def test_prompt_time_and_sentence_matter_and_padding_does_not() -> None:
    made = network()
    tokens, sentences = encoded(["a fox", "火箭"])
    z, t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3])
    base = made(z, t, tokens[:1], sentences[:1])
    assert base.shape == z.shape
    assert not torch.allclose(base, made(z, t, tokens[1:], sentences[:1]))
    assert not torch.allclose(base, made(z, t, tokens[:1], sentences[1:]))
    assert not torch.allclose(base, made(z, torch.tensor([0.6]), tokens[:1], sentences[:1]))
    used = int((tokens[0] != PAD).sum())
    assert torch.allclose(base, made(z, t, tokens[:1, :used], sentences[:1]), atol=1e-5)


def test_a_new_network_foresees_the_mean_of_the_data() -> None:
    tokens, sentences = drop_prompts(*encoded(["a fox"]), torch.tensor([True]))
    made = FlowTransformer(FlowConfig(**SMALL)).requires_grad_(False)
    assert made(torch.randn(1, 3, 16, 16), torch.rand(1), tokens, sentences).abs().max() == 0


def pixels(sampler: FlowSampler, batch: list[Request]) -> np.ndarray:
    return np.stack([output.pixels for output in sampler.sample(batch, lambda step, total, previews: None)])


def test_a_picture_is_the_same_alone_and_in_a_batch_of_other_settings() -> None:
    sampler = FlowSampler(network(), None, prompts())
    batch = [
        *requests(["a fox"], seed=1, steps=4),
        *requests(["火箭"], seed=2, steps=6, guidance_scale=5),
        *requests(["a fox"], seed=3, steps=4, guidance_scale=1),
    ]
    together = pixels(sampler, batch)
    alone = np.concatenate([pixels(sampler, [one]) for one in batch])
    assert np.abs(together.astype(int) - alone).max() <= 1
    assert len({picture.tobytes() for picture in together}) == 3


def picture(height: int, width: int) -> Picture:
    return Picture(np.random.default_rng(height).integers(0, 255, (height, width, 3), dtype=np.uint8))


def mask(height: int, width: int, rows: slice, columns: slice, value: int = 255) -> Picture:
    made = np.zeros((height, width, 3), np.uint8)
    made[rows, columns] = value
    return Picture(made)


def asked(task: str, inputs: dict[str, list[Value]], seed: int = 1, **params: float | str) -> Request:
    wanted = next(each for each in families()["flow-transformer"].tasks if each.name == task)
    given = params if task == "image-variation" else {"prompt": "a fox", **params}
    return Request(task, wanted.params.model_validate(given), seed, inputs)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 50), (90, 40), (9, 13), (200, 16)])
def test_outside_the_mask_a_picture_stays_bit_for_bit(height: int, width: int) -> None:
    given, marked = picture(height, width), mask(height, width, slice(2, 8), slice(3, 12))
    soft = mask(height, width, slice(8, 9), slice(3, 12), 128)
    whole = Picture(np.maximum(marked.pixels, soft.pixels))
    made = FlowSampler(network(), None, prompts()).sample(
        [asked("inpainting", {"image": [given], "mask": [whole]}, steps=3)], lambda *_: None
    )[0]
    outside = whole.pixels == 0
    assert made.pixels.shape == given.pixels.shape and np.array_equal(made.pixels[outside], given.pixels[outside])
    assert not np.array_equal(made.pixels[~outside], given.pixels[~outside])
    assert given.pixels.tobytes() == picture(height, width).pixels.tobytes(), "what is given is not drawn on"


def test_a_mask_of_another_size_or_of_nothing_is_refused() -> None:
    sampler = FlowSampler(network(), None, prompts())
    other, empty = mask(16, 15, slice(3), slice(3)), mask(16, 16, slice(0), slice(0))
    for marked, words in ((other, "15 x 16 pixels"), (empty, "nothing")):
        with pytest.raises(Unfit, match=words):
            sampler.sample([asked("inpainting", {"image": [picture(16, 16)], "mask": [marked]})], lambda *_: None)
    task = next(each for each in families()["flow-transformer"].tasks if each.name == "inpainting")
    sizes = {"image": [{"width": 16, "height": 16}], "mask": [{"width": 15, "height": 16}]}
    assert (found := task.problem(None, sizes)) and found[0] == "mask" and "15 x 16" in found[1]
    assert task.problem(None, {"image": sizes["image"], "mask": sizes["image"]}) is None


def test_a_picture_goes_on_beyond_its_edges_and_stays_itself() -> None:
    given = picture(16, 24)
    made = FlowSampler(network(), None, prompts()).sample(
        [asked("outpainting", {"image": [given]}, left=20, bottom=5, steps=2)], lambda *_: None
    )[0]
    assert made.pixels.shape == (21, 44, 3) and np.array_equal(made.pixels[:16, 20:], given.pixels)
    with pytest.raises(ValidationError, match="on which side"):
        asked("outpainting", {"image": [given]})


@pytest.mark.parametrize("task", ["image-to-image", "image-variation"])
def test_a_picture_is_drawn_again_the_nearer_the_less_strength(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowTransformer, "denoise", lambda self, z, t, prompts: z)  # nothing but where it began
    sampler, given = FlowSampler(network(), None, prompts()), picture(16, 16)
    drawn = [pixels(sampler, [asked(task, {"image": [given]}, strength=strength)])[0] for strength in (1.0, 0.4, 0.1)]
    far, nearer, near = (np.abs(each - given.pixels.astype(float)).mean() for each in drawn)
    assert far > 1.3 * nearer and nearer > 1.3 * near


def test_a_picture_to_go_by_matters_by_itself_and_in_a_batch_of_others_without_one() -> None:
    sampler, given = FlowSampler(network(reference=True), None, prompts()), picture(40, 30)
    plain = asked("text-to-image", {}, steps=3)
    led = asked("text-to-image", {"reference": [given]}, steps=3)
    other = asked("text-to-image", {"reference": [picture(30, 40)]}, steps=3)
    found = [pixels(sampler, [each])[0] for each in (plain, led, other)]
    assert len({each.tobytes() for each in found}) == 3
    assert np.abs(pixels(sampler, [plain, led, other]).astype(int) - np.stack(found)).max() <= 1
    again = asked("image-variation", {"image": [given]}, strength=1.0, steps=3)
    elsewhere = asked("image-variation", {"image": [picture(30, 40)]}, strength=1.0, steps=3)
    assert not np.array_equal(pixels(sampler, [again]), pixels(sampler, [elsewhere])), "it goes by what is given"


def test_only_a_checkpoint_that_was_trained_with_references_takes_one() -> None:
    taking, plain = (tasks_of({"config": {**SMALL, "reference": yes}}) for yes in (True, False))
    assert [task.name for task in taking if task.input("reference")] == [
        task.name for task in plain if "prompt" in task.params.model_fields
    ]
    assert not any(task.input("reference") for task in plain)


def test_what_one_leads_away_from_matters() -> None:
    sampler = FlowSampler(network(), None, prompts())
    plain, led, blank = (
        pixels(sampler, requests(["a fox"], seed=1, steps=3, negative_prompt=words)) for words in ("", "火箭", "  ")
    )
    assert not np.array_equal(plain, led) and np.array_equal(plain, blank)


def test_works_of_several_squares_share_a_batch_and_are_those_of_alone() -> None:
    sampler = FlowSampler(network(), None, prompts())
    wide = asked("inpainting", {"image": [picture(16, 64)], "mask": [mask(16, 64, slice(16), slice(8, 60))]}, steps=2)
    small = asked("inpainting", {"image": [picture(16, 16)], "mask": [mask(16, 16, slice(4), slice(4))]}, 2, steps=2)
    told: list[tuple[int, int, list[tuple[int, ...]]]] = []
    made = sampler.sample(
        [wide, small],
        lambda step, total, previews: told.append((step, total, [each.pixels.shape for each in previews()])),
    )
    assert [step for step, _, _ in told] == list(range(1, told[0][1] + 1)) and told[0][1] > 2
    assert all(shapes == [(16, 64, 3), (16, 16, 3)] for _, _, shapes in told)
    for request, together in zip((wide, small), made, strict=True):
        alone = sampler.sample([request], lambda *_: None)[0]
        assert np.abs(together.pixels.astype(int) - alone.pixels).max() <= 1


def test_progress_is_told_once_a_step_and_previews_are_of_every_request() -> None:
    sampler = FlowSampler(network(), None, prompts())
    batch = [*requests(["a fox"], seed=1, steps=2), *requests(["a fox"], seed=1, steps=3)]
    told: list[tuple[int, int, int]] = []
    sampler.sample(batch, lambda step, total, previews: told.append((step, total, len(previews()))))
    assert told == [(step, 5, 2) for step in range(1, 6)]


def test_what_does_not_fit_the_autoencoder_is_said() -> None:
    card = {"config": KLConfig(size=64, latent=8).model_dump()}
    fits = FlowTraining(autoencoder="kl", network=FlowConfig(size=8, channels=8, patch=1))
    assert problem(fits, lambda name: card) is None
    other = FlowTraining(autoencoder="kl", network=FlowConfig(size=8, channels=4, patch=1))
    assert "8 x 8 cells of 8" in str(problem(other, lambda name: card))
    assert "does not describe" in str(problem(fits, lambda name: {"config": {"levels": [8, 5]}}))
    assert problem(FlowTraining(network=FlowConfig(channels=4)), lambda name: card) == "Pixels have 3 channels"
    with pytest.raises(ValueError, match="multiple of patch"):
        FlowConfig(size=64, patch=7)


def test_latents_are_trained_on_with_the_scale_of_the_noise(tmp_path: Path) -> None:
    from models.checkpoint import write_model

    config = KLConfig(size=64, latent=4, widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1)
    torch.manual_seed(0)
    write_model(
        tmp_path / "published" / "kl",
        KLAutoencoder(config),
        {"family": "kl-autoencoder", "config": config.model_dump()},
    )
    random = np.random.default_rng(0)
    items = [
        (
            Item(str(i), str(i), str(i), "", "train" if i < 6 else "held_out", "a", "甲", [f"thing {i}"]),
            random.integers(0, 255, (64, 64, 3), dtype=np.uint8),
        )
        for i in range(8)
    ]
    write_prepared(tmp_path / "tiny", items, {"name": "tiny"})
    params = FlowTraining(
        network=FlowConfig(**{**SMALL, "size": 8, "patch": 1, "channels": 4}), autoencoder="kl", batch_size=4, views=2
    )
    run = Run(tmp_path / "run", steps=2, published=tmp_path / "published", echo=False)
    training.train(params, open_collection(tmp_path / "tiny"), run)
    sampler = load(run.folder.model, torch.device("cpu"), tmp_path / "published")
    latents = np.load(tmp_path / "run" / "cache" / "latents.npy")
    assert latents.shape == (8, 2, 4, 8, 8)
    normal = sampler.network.normalized(torch.from_numpy(latents[:6, 0].astype(np.float32)))
    assert normal.mean((0, 2, 3)).abs().max() < 0.02
    assert normal.std((0, 2, 3)).sub(1).abs().max() < 0.02
    assert pixels(sampler, requests(["thing 1"], seed=0, steps=2)).shape == (1, 64, 64, 3)
