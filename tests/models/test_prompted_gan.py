"""The GAN that draws after words: what it learns, the way between two prompts, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from app.datasets.prepared import Item, write_prepared
from models.adversarial.game import REST, rest_of
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.spec import KLConfig
from models.checkpoint import CheckpointError, write_model
from models.contract.card import WEIGHTS, read_card
from models.contract.sampling import Output, Request
from models.data.pictures import Collection, Unsuitable, open_collection, to_unit
from models.parts.caption_reader import CaptionReader
from models.parts.captions import Captions, prompt_encoder
from models.prompted_gan.discriminator import mismatch, own
from models.prompted_gan.network import PromptedGenerator, mixed
from models.prompted_gan.sample import PromptedGANSampler, load
from models.prompted_gan.spec import PromptedGANConfig, PromptedGANParams, PromptedGANTraining, cost
from models.prompted_gan.train import train
from models.training.contrastive import fit, same_captions
from models.training.run import Run

CONFIG = PromptedGANConfig(
    size=32,
    width=48,
    heads=3,
    encoder_layers=1,
    encoder_hidden=48,
    text_vocabulary=320,
    prompt_length=16,
    latent=8,
    channels=32,
    max_channels=64,
)
COLOURS = {"red": ("红色", (220, 30, 30)), "blue": ("蓝色", (30, 30, 220)), "green": ("绿色", (20, 200, 20))}


def written(folder: Path, caption_of: Any, side: int = 32) -> Collection:
    """Plain pictures in three colours."""
    items = []
    for i in range(60):
        name = list(COLOURS)[i % 3]
        chinese, colour = COLOURS[name]
        shade = np.random.default_rng(i).integers(-20, 20, 3)
        picture = np.full((side, side, 3), np.clip(np.array(colour) + shade, 0, 255), np.uint8)
        split = "held_out" if i >= 48 else "train"
        items.append((Item(f"{i}", name, name, "", split, name, chinese, caption_of(name, chinese)), picture))
    write_prepared(folder, items, {"name": "colours"})
    return open_collection(folder)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return written(
        tmp_path_factory.mktemp("data") / "colours", lambda name, chinese: [f"a {name} sheet", f"一张{chinese}的纸"]
    )


@pytest.fixture(scope="module")
def trained(colours: Collection, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("run"), steps=120, echo=False)
    params = PromptedGANTraining(
        network=CONFIG, batch_size=12, learning_rate=2e-3, matching_weight=2.0, ema_decay=0.9, watched=["a red sheet"]
    )
    train(params, colours, run)
    return run


def asked(sampler: PromptedGANSampler, prompt: str, *, index: int = 0, **more: Any) -> Output:
    params = PromptedGANParams(prompt=prompt, **more)
    (output,) = sampler.sample([Request("text-to-image", params, 5 + index, index=index)], lambda *_: None)
    return output


def strongest(output: Output) -> int:
    """Which of red, green and blue."""
    return int(output.pixels.reshape(-1, 3).astype(float).mean(0).argmax())


def test_it_draws_what_is_asked_for_in_both_languages(trained: Run) -> None:
    sampler = load(trained.folder.model, torch.device("cpu"))
    assert read_card(trained.folder.model)["family"] == "text-to-image-gan"
    assert [strongest(asked(sampler, f"a {name} sheet")) for name in ("red", "green", "blue")] == [0, 1, 2]
    assert [strongest(asked(sampler, f"一张{name}的纸")) for name in ("红色", "绿色", "蓝色")] == [0, 1, 2]
    remark = asked(sampler, "a zebra").remark
    assert remark is not None and "zebra" in str(remark)
    curves = trained.folder.curves()
    assert {"held_out_kernel_distance", "mismatch_real", "mismatch_fake", "margin"} <= set(curves)
    assert curves["mismatch_real"][-1][1] < 0.5 * curves["mismatch_real"][0][1], "captions are told apart"


def test_a_way_leads_from_one_prompt_to_the_other(trained: Run) -> None:
    sampler = load(trained.folder.model, torch.device("cpu"))
    way: dict[str, Any] = {"other_prompt": "a blue sheet", "path": True, "count": 5}
    steps = [asked(sampler, "a red sheet", index=i, **way) for i in range(5)]
    for end, prompt in ((0, "a red sheet"), (4, "a blue sheet")):  # whatever else is in its memory, with no weight
        alone = asked(sampler, prompt).pixels.astype(int)
        assert np.abs(steps[end].pixels.astype(int) - alone).max() <= 1
    blue = [step.pixels[..., 2].mean() - step.pixels[..., 0].mean() for step in steps]
    assert blue[0] < 0 < blue[-1] and blue[0] < blue[2] < blue[-1]
    again = asked(sampler, "a red sheet", **{**way, **steps[3].alone, "count": 1})
    assert np.array_equal(again.pixels, steps[3].pixels), "each is drawn again by itself"


def test_a_picture_depends_on_its_own_request_alone(trained: Run) -> None:
    sampler = load(trained.folder.model, torch.device("cpu"))
    requests = [
        Request("text-to-image", PromptedGANParams(prompt="a red sheet"), 5),
        Request("text-to-image", PromptedGANParams(prompt="a long green sheet", other_prompt="纸", amount=0.4), 2**40),
    ]
    together = [output.pixels for output in sampler.sample(requests, lambda *_: None)]
    for request, pixels in zip(requests, together, strict=True):
        (alone,) = sampler.sample([request], lambda *_: None)
        assert np.abs(alone.pixels.astype(int) - pixels).max() <= 1


def test_words_count_as_much_as_their_prompt() -> None:
    torch.manual_seed(0)
    network = PromptedGenerator(CONFIG).eval()
    tokens, sentences = torch.randint(2, 300, (2, 6)), torch.randn(2, 512)
    both = [network.conditions(tokens[i : i + 1], sentences[i : i + 1]) for i in range(2)]
    latents = torch.randn(1, 8)
    twice = mixed([both[0], both[0]], torch.tensor([[0.3, 0.7]]))  # the same words, counted once
    torch.testing.assert_close(network.draw(latents, twice), network.draw(latents, both[0]), rtol=1e-4, atol=1e-5)
    first = mixed(both, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(network.draw(latents, first), network.draw(latents, both[0]), rtol=1e-4, atol=1e-5)


def test_captions_of_the_same_thing_are_not_held_against_a_picture() -> None:
    torch.manual_seed(0)
    scores = torch.randn(4, 2, 4)
    alike = torch.zeros(4, 4, dtype=torch.bool)
    alike[0, 1] = alike[1, 0] = True
    whole = mismatch(scores, slice(0, 4), alike)
    logits = scores[0, :, [0, 2, 3]]
    expected = -logits.log_softmax(-1)[:, 0].mean()
    torch.testing.assert_close(mismatch(scores[:1], slice(0, 1), alike), expected)
    halves = [mismatch(scores[rows], rows, alike) for rows in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(whole, torch.stack(halves).mean())
    assert torch.equal(own(scores[2:], slice(2, 4)), torch.stack([scores[2, :, 2], scores[3, :, 3]]))


def test_an_autoencoders_latents_are_drawn(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = KLConfig(size=64, latent=4, widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1)
    autoencoder, published = KLAutoencoder(shape), tmp_path / "published"
    write_model(published / "kl", autoencoder, {"family": "kl-autoencoder", "config": shape.model_dump()})
    data = written(tmp_path / "large", lambda name, chinese: [f"a {name} sheet"], side=64)
    network = PromptedGANConfig(**{**CONFIG.model_dump(), "size": 8, "patch": 1, "drawn_channels": 4})
    params = PromptedGANTraining(network=network, autoencoder="kl", batch_size=6, ema_decay=0.0)
    run = Run(tmp_path / "run", steps=2, echo=False, published=published)
    train(params, data, run)
    sampler = load(run.folder.model, torch.device("cpu"), published)
    assert asked(sampler, "a red sheet").pixels.shape == (64, 64, 3)
    pictures = to_unit(data.pictures(data.indices("train")))
    latents = sampler.network.normalized(autoencoder.posterior(pictures)[0].detach())
    assert latents.mean((0, 2, 3)).abs().max() < 0.02 and latents.std((0, 2, 3)).sub(1).abs().max() < 0.02
    other = PromptedGANTraining(network=network.model_copy(update={"drawn_channels": 5}), autoencoder="kl")
    with pytest.raises(CheckpointError, match="8 x 8 cells of 4"):
        train(other, data, Run(tmp_path / "other", steps=1, echo=False, published=published))
    larger = cost(other)
    assert larger.items_per_second < cost(PromptedGANTraining(network=network)).items_per_second


def test_captions_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    same = written(tmp_path / "same", lambda name, chinese: ["a sheet"])
    with pytest.raises(Unsuitable, match="the same"):
        train(PromptedGANTraining(network=CONFIG), same, Run(tmp_path / "run", steps=1, echo=False))


def test_a_way_to_nowhere_is_refused_and_larger_networks_cost_more() -> None:
    with pytest.raises(ValidationError, match="second prompt"):
        PromptedGANParams(prompt="a", path=True)
    with pytest.raises(ValidationError, match="NUL"):
        PromptedGANParams(prompt="a", other_prompt="b\0")
    assert PromptedGANParams.without_effect({"other_prompt": ""}) == {"amount", "path"}
    assert not PromptedGANParams.without_effect({"other_prompt": "b"})
    with pytest.raises(ValidationError, match="too small"):
        PromptedGANConfig(size=16, patch=4)
    usual, large = cost(PromptedGANTraining()), cost(PromptedGANTraining(network=PromptedGANConfig(size=128)))
    assert large.item_bytes > 3 * usual.item_bytes and large.items_per_second < usual.items_per_second / 2


def test_captions_are_read_as_what_they_look_like(colours: Collection, tmp_path: Path) -> None:
    torch.manual_seed(0)
    prompts = prompt_encoder(CONFIG, colours, tmp_path / "tokenizer.json", None)
    captions, reader = (
        Captions(colours, prompts, tmp_path),
        CaptionReader(CONFIG.text_vocabulary, CONFIG.sentence_width),
    )
    before = torch.get_rng_state()
    fit(reader, colours, captions, tmp_path, 0, lambda done: None)
    assert torch.equal(torch.get_rng_state(), before)
    tokens, sentences = prompts.encode(["a red sheet", "一张红色的纸", "a blue sheet", "red"])
    red, chinese, blue, word = reader(torch.from_numpy(tokens), torch.from_numpy(sentences))
    assert red @ chinese > red @ blue + 0.2 and word @ red > word @ blue, (red @ chinese, red @ blue)
    again = CaptionReader(CONFIG.text_vocabulary, CONFIG.sentence_width)
    fit(again, colours, captions, tmp_path, 0, lambda done: None)  # kept, not fitted anew
    for one, other in zip(again.parameters(), reader.parameters(), strict=True):
        assert torch.equal(one, other)


def test_captions_that_say_the_same_are_alike() -> None:
    tokens = torch.tensor([[1, 2], [1, 2], [3, 0], [4, 0]])
    sentences = torch.tensor([[0.5], [0.5], [0.5], [0.1]])
    same = same_captions(tokens, sentences, torch.tensor([7, 8, 9, 9]))
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[0, 1] = expected[1, 0] = expected[2, 3] = expected[3, 2] = True  # the last two are of one item
    assert torch.equal(same, expected)


def test_pictures_without_captions_are_not_measured_by_them(tmp_path: Path) -> None:
    some = written(tmp_path / "some", lambda name, chinese: [""] if name == "blue" else [f"a {name} sheet"])
    params = PromptedGANTraining(network=CONFIG, batch_size=6)
    run = Run(tmp_path / "run", steps=2, echo=False)
    train(params, some, run)
    assert read_card(run.folder.model)["steps"] == 2
    none = written(tmp_path / "none", lambda name, chinese: [""])
    with pytest.raises(Unsuitable, match="none of these pictures has one"):
        train(params, none, Run(tmp_path / "other", steps=1, echo=False))


def test_a_generator_that_was_trained_waits_for_its_new_discriminator(
    trained: Run, colours: Collection, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(trained.folder.model, checkpoints / "before")
    run = Run(tmp_path / "run", steps=20, echo=False, published=checkpoints)
    train(PromptedGANTraining(network=CONFIG, batch_size=6, start_from="before", ema_decay=0.0), colours, run)
    before, after = (load_file(folder / WEIGHTS) for folder in (checkpoints / "before", run.folder.model))
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("captions."))
    assert not torch.equal(before["out.weight"], after["out.weight"])
    assert rest_of(20) == 2 and rest_of(100_000) == REST
