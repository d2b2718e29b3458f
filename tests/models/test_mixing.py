"""Content and style: which pictures are paired, what the latents hold, and that mixing beats copying."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from app.datasets.prepared import Item, write_prepared
from models.autoencoders.likelihood import normal_log_prob, standard_normal_log_prob
from models.checkpoint import ZOO, write_model
from models.contract.recipe import remember
from models.contract.sampling import Request
from models.contract.tasks import INTERPOLATION, VARIATION
from models.data.pictures import Collection, label_names, labels_of, open_collection, to_unit
from models.measure.effort import Effort, effort_for
from models.measure.features import PerceptualLoss, feature_statistics
from models.training.run import Run
from models.vae import bounds
from models.vae.bounds import weighted_bounds
from models.vae.mixing.evaluate import Whole, evaluate, mixed
from models.vae.mixing.network import MixingVAE
from models.vae.mixing.objective import all_divergences
from models.vae.mixing.pairs import Pairs
from models.vae.mixing.sample import MixingSampler, load, load_mixing
from models.vae.mixing.spec import MIXING, MixingConfig, MixingTraining, MixParams, RestyleParams
from models.vae.mixing.style_classifier import StyleClassifier
from models.vae.mixing.train import train, translations
from tests.models.pictures import from_pictures

SIZE, CONCEPTS = 32, 40
INKS = {
    "blue": ((20, 40, 160), (240, 240, 255)),
    "red": ((200, 40, 20), (255, 250, 210)),
    "night": ((250,) * 3, (0,) * 3),
}
SMALL = MixingConfig(size=SIZE, content=4, style=8, widths=(32, 24, 16), decoder_blocks=1)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of fewer draws are soon known."""
    monkeypatch.setattr(bounds, "DRAWS", (1, 8, 32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Concepts are a bar and a square somewhere; styles are two colours."""
    items = []
    for number in range(CONCEPTS):
        random = np.random.default_rng(number)
        mask = np.zeros((SIZE, SIZE, 1), bool)
        x, y, width = [*random.integers(0, SIZE - 10, 2).tolist(), int(random.integers(4, 10))]
        mask[y : y + width, x : x + width] = True
        mask[int(random.integers(0, SIZE - 3)) :][:3] = True
        for style, (ink, paper) in INKS.items():
            split = "concept" if number % 5 == 4 else "train"
            item = Item(f"{number}/{style}", f"{number}", f"{number}", style, split, "", "", [""])
            items.append((item, np.where(mask, ink, paper).astype(np.uint8)))
    folder = tmp_path_factory.mktemp("aligned") / "shapes"
    write_prepared(folder, items, {"name": "shapes"})
    return open_collection(folder)


@pytest.fixture(scope="module")
def trained(data: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Run(tmp_path_factory.mktemp("mixing"), steps=500, echo=False)
    params = MixingTraining(network=SMALL, batch_size=16, learning_rate=4e-3, perceptual_weight=0.1, ema_decay=0.95)
    train(params, data, run)
    return run.folder.model


@pytest.fixture(scope="module")
def sampler(trained: Path) -> MixingSampler:
    return load(trained, torch.device("cpu"))


def test_the_presets_train_as_the_recipe_does() -> None:
    recipe = tomllib.loads((Path(__file__).parents[2] / "recipes/emoji-mixing.toml").read_text())
    assert all(preset.params.items() <= recipe["params"].items() for preset in MIXING.presets)


def test_partners_share_the_concept_and_the_style(data: Collection) -> None:
    pairs = Pairs(data, data.indices("train"))
    wanted = np.tile(data.indices("train"), 4)
    contents, styles = pairs.partners(wanted, torch.Generator().manual_seed(0))
    for i, content, style in zip(wanted, contents, styles, strict=True):
        assert data.items[content]["concept"] == data.items[i]["concept"]
        assert data.items[style]["style"] == data.items[i]["style"]
        assert "train" == data.items[content]["split"] == data.items[style]["split"]
    others = np.array([data.items[i]["style"] != data.items[j]["style"] for i, j in zip(wanted, contents, strict=True)])
    assert 0.7 < others.mean() < 0.9 and (others | (contents == wanted)).all() and not (styles == wanted).any()


def test_a_collection_without_aligned_styles_is_refused(data: Collection) -> None:
    alone = data.indices("train")[:: len(INKS)]
    with pytest.raises(ValueError, match="drawn in two styles"):
        Pairs(data, alone)


def test_translations_are_of_held_out_concepts_in_styles_of_training_pictures(data: Collection) -> None:
    rows = translations(data, Pairs(data, data.indices("train")))
    assert len(rows) == len({wanted for _, _, wanted in rows}) == CONCEPTS // 5 * len(INKS)
    for content, style, wanted in rows:
        a, b, c = (data.items[i] for i in (content, style, wanted))
        assert a["concept"] == c["concept"] != b["concept"] and b["style"] == c["style"] != a["style"]
        assert (a["split"], b["split"]) == ("concept", "train")


@pytest.mark.parametrize("size", [32, 64, 128])
def test_pictures_of_every_size_become_a_grid_and_a_vector(size: int) -> None:
    network = MixingVAE(SMALL.model_copy(update={"size": size}))
    pictures = torch.rand(2, 3, size, size) * 2 - 1
    content, style = network.content(pictures)[0], network.style(pictures)[0]
    assert content.shape == (2, 4, size // 8, size // 8) and style.shape == (2, 8)
    assert network.decoder(content, style).shape == pictures.shape


def test_styles_are_remembered_as_normals() -> None:
    network = MixingVAE(SMALL.model_copy(update={"classes": 2}))
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (4000,), generator=random)
    spread = torch.randn(8, 8, generator=random)
    means = torch.randn(4000, 8, generator=random) @ spread + 10.0 * labels[:, None]
    network.fit_styles(means, torch.full((4000, 8), -2.0), labels)
    assert torch.allclose(network.style_means[1] - network.style_means[0], torch.full((8,), 10.0), atol=0.5)
    root = network.style_roots[0]
    wanted = spread.T @ spread + torch.exp(torch.tensor(-2.0)) * torch.eye(8)
    assert torch.allclose(root @ root.T, wanted, atol=1.0)


def test_labels_are_scored_by_their_priors() -> None:
    network = MixingVAE(SMALL.model_copy(update={"classes": 3}))
    styles = torch.randn(5, 8)
    densities = torch.stack([normal_log_prob(styles, mean, torch.zeros(8)) for mean in network.priors], 1)
    assert torch.allclose(network.label_scores(styles).log_softmax(1), densities.log_softmax(1), atol=1e-4)


def test_a_namer_learns_styles_from_real_drawings_and_blames_those_of_another(data: Collection) -> None:
    chosen = data.indices("train")
    labels = labels_of(data, chosen, label_names(data))
    real = to_unit(data.pictures(chosen))
    perceptual, classifier = PerceptualLoss(), StyleClassifier(len(INKS))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=0.03)
    for _ in range(30):
        optimizer.zero_grad()
        classifier(feature_statistics(perceptual.maps(real, real)), labels)[1].backward()
        optimizer.step()
    drawn = real[:6].clone().requires_grad_()
    seen = feature_statistics(perceptual.maps(drawn, real[:6]))
    missed, learnt = classifier(seen, labels[:6])
    of_others = classifier(seen, labels[:6].roll(1))[0]
    assert learnt.item() < 0.1 and of_others.item() > missed.item() + 1
    optimizer.zero_grad()
    missed.backward()
    assert classifier.weight.grad is None and drawn.grad is not None and drawn.grad.abs().sum() > 0


def test_a_style_at_its_prior_costs_nothing() -> None:
    prior, none = torch.randn(4, 8), torch.zeros(4, 8)
    content = torch.zeros(4, 2, 3, 3), torch.zeros(4, 2, 3, 3)
    assert all_divergences(content, (prior, none), prior).abs().max() == 0
    assert torch.allclose(all_divergences(content, (prior + 2, none), prior)[:, -8:], torch.tensor(2.0))


def test_mixing_is_nearer_to_the_real_drawing_than_any_copy(data: Collection, trained: Path) -> None:
    network, _ = load_mixing(trained, torch.device("cpu"))
    rows = translations(data, Pairs(data, data.indices("train")))
    content, style, wanted = (to_unit(data.pictures(np.array(column))) for column in zip(*rows, strict=True))

    def error(pictures: torch.Tensor) -> float:
        return float((pictures - wanted).square().mean())

    others = {"content": error(content), "style": error(style), "average": error((content + style) / 2)}
    assert error(mixed(network, content, style)) < 0.5 * min(others.values()), others


def test_the_bound_of_content_and_style_together(data: Collection, trained: Path) -> None:
    network, _ = load_mixing(trained, torch.device("cpu"))
    whole, pictures = Whole(network), to_unit(data.pictures(data.indices("concept")))
    means, _ = whole.encoder(pictures)
    apart = network.decoder(network.content(pictures)[0], network.style(pictures)[0])
    assert torch.allclose(whole.decoder(means), apart, atol=1e-5)
    one = Whole(MixingVAE(SMALL.model_copy(update={"classes": 1})))
    one.network.priors.data.zero_()
    assert torch.allclose(one.prior(means), standard_normal_log_prob(means), rtol=1e-5), "a mixture of one"
    found = weighted_bounds(whole, pictures, Effort(len(pictures)), whole.prior)
    bits = [found[f"bits_a_number_k{draws}"] for draws in (1, 8, 32)]
    assert bits[2] <= bits[1] < bits[0], "more draws bring it nearer to the truth"


def test_the_figures_have_every_rival_and_the_ceiling(data: Collection, trained: Path) -> None:
    figures, sheet = evaluate(trained, data, ZOO, effort_for(data))
    assert figures["pictures"] == 24 and figures["concepts"] == 8
    assert figures["copied_content"]["psnr_to_real_db"] < figures["mixed"]["psnr_to_real_db"]
    assert figures["real_drawing"]["style"] > 0.9 > 0.1 > figures["copied_content"]["style"]
    assert sheet.shape == ((1 + len(INKS)) * SIZE, 8 * SIZE, 3)
    assert "concept_first" in figures["mixed"] and "both" not in figures["mixed"], "eight concepts are all in ten"


def test_two_styles_leave_nothing_to_tell_concepts_by(data: Collection, trained: Path) -> None:
    """A concept is judged by its drawings in third styles: with two there is no figure, rather than a perfect one."""
    some = [i for i, item in enumerate(data.items) if item["style"] != "night"]
    two = Collection(data.folder, data.images[some], [data.items[i] for i in some], data.card)
    figures, sheet = evaluate(trained, two, ZOO, effort_for(two))
    assert "concept_first" not in figures["mixed"] and figures["mixed"]["style"] > 0.5
    assert len(sheet) == 3 * SIZE


def picture(data: Collection, concept: int, style: str) -> npt.NDArray[np.uint8]:
    return np.asarray(data.images[concept * len(INKS) + list(INKS).index(style)])


def nearest_ink(pixels: npt.NDArray[np.uint8]) -> str:
    """The style whose paper is nearest to the commonest colour."""
    paper = np.median(pixels.reshape(-1, 3).astype(float), 0)
    return min(INKS, key=lambda name: float(np.abs(paper - INKS[name][1]).sum()))


def test_without_weights_it_is_the_content_of_the_first_in_the_style_of_the_last(
    data: Collection, sampler: MixingSampler
) -> None:
    images = [picture(data, 4, "blue"), picture(data, 7, "night")]
    asked = [
        Request(INTERPOLATION.name, given, 0, from_pictures(*images))
        for given in (
            MixParams(),
            MixParams(weights=[1, 0], style_weights=[0, 0.5]),
            MixParams(weights=[1, 0], style_weights=[1, 0]),
        )
    ]
    usual, said, kept = sampler.sample(asked, lambda *_: None)
    assert np.array_equal(usual.pixels, said.pixels) and usual.alone["style_weights"] == [0.0, 1.0]
    assert nearest_ink(usual.pixels) == "night" and nearest_ink(kept.pixels) == "blue"


def test_a_way_goes_from_the_first_style_to_the_last(data: Collection, sampler: MixingSampler) -> None:
    images = [picture(data, 4, "blue"), picture(data, 7, "red"), picture(data, 9, "night")]
    given = MixParams(path=True, count=5)
    outputs = sampler.sample(
        [Request(INTERPOLATION.name, given, i, from_pictures(*images), i) for i in range(5)], lambda *_: None
    )
    weights = [output.alone["style_weights"] for output in outputs]
    assert weights[0] == [1, 0, 0] and weights[2] == [0, 1, 0] and weights[4] == [0, 0, 1]
    assert [nearest_ink(outputs[i].pixels) for i in (0, 2, 4)] == ["blue", "red", "night"]
    assert all(output.alone["weights"] == [1, 0, 0] for output in outputs)


def test_a_picture_is_drawn_again_in_a_style_by_name(data: Collection, sampler: MixingSampler) -> None:
    image = from_pictures(picture(data, 4, "blue"))
    asked = [
        *[Request(VARIATION.name, RestyleParams(label=name), 1, image) for name in INKS],
        *[Request(VARIATION.name, RestyleParams(label="red", strength=0), seed, image) for seed in (1, 2)],
    ]
    *restyled, kept, again = sampler.sample(asked, lambda *_: None)
    assert [nearest_ink(output.pixels) for output in restyled] == list(INKS)
    assert nearest_ink(kept.pixels) == "blue" and np.array_equal(kept.pixels, again.pixels)


@pytest.mark.parametrize("given", [{"count": 2}, {"style_weights": [0, 0]}, {"weights": [2, 1]}, {"variety": 1}])
def test_mixtures_that_make_no_sense_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"all the same|more than 0|less than or equal|Extra inputs"):
        MixParams.model_validate(given)


@pytest.mark.parametrize("given", [{"strength": 0}, {"variety": 0, "label": "red"}])
def test_more_than_one_of_what_would_be_the_same_is_refused(given: dict[str, object]) -> None:
    RestyleParams.model_validate(given)
    with pytest.raises(ValueError, match="pictures are the same"):
        RestyleParams.model_validate({**given, "count": 2})


def test_a_last_batch_of_one_picture_is_a_batch(data: Collection, tmp_path: Path) -> None:
    """65 training pictures: styles are fitted in batches of 64."""
    train_items = data.indices("train")
    some = np.concatenate([train_items[:65], data.indices("concept")])
    few = Collection(data.folder, data.images[some], [data.items[i] for i in some], data.card)
    train(MixingTraining(network=SMALL, batch_size=4), few, Run(tmp_path, steps=1, echo=False))
    assert (tmp_path / "model" / "card.json").exists()


def test_a_checkpoint_that_names_other_styles_is_refused(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"classes": 2})
    card = {"family": "mixing-vae", "config": config.model_dump(), "labels": ["ink"]}
    write_model(tmp_path / "broken", MixingVAE(config), card)
    with pytest.raises(Exception, match="does not name the labels"):
        load(tmp_path / "broken", torch.device("cpu"))


def test_a_checkpoint_from_before_decoders_went_to_the_whole_size_keeps_its_shape() -> None:
    kept = SMALL.model_dump()
    assert MixingConfig(**kept) == SMALL and SMALL.full
    del kept["full"]
    old = MixingConfig(**kept)
    assert old.full == 0
    drawn_by = [MixingVAE(config).decoder(torch.zeros(1, 4, 4, 4), torch.zeros(1, 8)).shape for config in (old, SMALL)]
    assert drawn_by == [(1, 3, SIZE, SIZE)] * 2


def test_a_run_of_before_goes_on_under_the_present_names(tmp_path: Path) -> None:
    """Paused when the weights of the late losses had other names: nothing of it differs now."""
    params = MixingTraining(statistics_weight=4.0, classifier_weight=2.0).model_dump(mode="json")
    before = {"family": "mixing-vae", **params}
    before |= {"manner_weight": before.pop("statistics_weight"), "naming_weight": before.pop("classifier_weight")}
    (tmp_path / "run.json").write_text(json.dumps(before))
    assert remember(tmp_path / "run.json", {"family": "mixing-vae", **params}, MixingTraining) == []
    assert remember(tmp_path / "run.json", {"family": "mixing-vae", **params, "beta": 7.0}, MixingTraining) == ["beta"]
