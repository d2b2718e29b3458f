"""The flow transformer: lines from noise to pictures, solvers, guidance, and pictures that depend on their own seed."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.datasets.prepared import Item, write_prepared
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.spec import KLConfig
from models.contract.sampling import Request
from models.data.pictures import open_collection
from models.diffusion import train as training
from models.diffusion.flow import draw_times, flow_loss, heun, mixed, times, velocity
from models.diffusion.network import FlowTransformer
from models.diffusion.sample import FlowSampler, load, requests
from models.diffusion.spec import FlowConfig, FlowTraining, problem
from models.parts.prompt import drop_prompts
from models.parts.text import PAD, PromptEncoder, train_tokenizer
from models.training.run import Run

TEXTS = ["a red fox, noto style", "红色的狐狸，noto风格", "grinning face", "火箭"]
SMALL = {"width": 64, "heads": 4, "layers": 2, "hidden": 64, "encoder_layers": 1, "encoder_hidden": 64}
SMALL |= {"text_vocabulary": 400, "size": 16, "patch": 4}


@cache
def network(outer_blocks: int = 0) -> FlowTransformer:
    """A small one with weights that are not zero, so that every path has an effect."""
    torch.manual_seed(0)
    made = FlowTransformer(FlowConfig(**SMALL, outer_blocks=outer_blocks, outer_width=16)).eval()
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
    assert torch.allclose(velocity(x, mixed(x, noise, t), t), x - noise, atol=1e-4)
    wrong = x + 0.1
    by_velocity = (velocity(wrong, mixed(x, noise, t), t) - (x - noise)).square().flatten(1).mean(1)
    assert torch.allclose(flow_loss(wrong, x, t), by_velocity, rtol=1e-3)


def test_times_have_the_median_that_was_asked_for() -> None:
    drawn = draw_times(20_000, -0.8, 0.8, torch.Generator().manual_seed(0))
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert float(drawn.median()) == pytest.approx(1 / (1 + np.exp(0.8)), abs=0.01)
    assert times(4, 1.0, torch.device("cpu")).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert times(4, 0.5, torch.device("cpu"))[2] < 0.5


def test_the_solver_finds_the_mean_of_a_gaussian_and_is_of_second_order() -> None:
    """For data N(m, s^2) the best foreseen picture is known, and so is where each noise must end: at m + s noise."""
    mean, std = 0.7, 0.3
    noise = torch.randn(64, 1, 2, 2, generator=torch.Generator().manual_seed(0))

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        t = t.view(-1, 1, 1, 1)
        gain = t * std**2 / (t**2 * std**2 + (1 - t) ** 2)
        return mean + gain * (z - t * mean)

    told: list[int] = []
    errors = [
        float((heun(denoise, noise, steps, lambda step, x: told.append(step)) - (mean + std * noise)).abs().mean())
        for steps in (8, 16, 32)
    ]
    assert told[-32:] == list(range(1, 33))
    assert errors[2] < 0.02
    assert errors[1] < errors[0] / 1.8
    assert errors[2] < errors[1] / 1.8


@pytest.mark.parametrize("outer_blocks", [0, 1])
def test_prompt_time_and_sentence_matter_and_padding_does_not(outer_blocks: int) -> None:
    made = network(outer_blocks)
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
