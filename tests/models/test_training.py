"""Training: exact resume, atomic checkpoints, optimizers, order of data."""

import errno
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.datasets.prepared import Item, write_prepared
from models import checkpoint
from models.autoencoders import train
from models.autoencoders.load import load_autoencoder
from models.autoencoders.spec import FSQConfig, FSQTraining, KLConfig, KLTraining
from models.contract.card import WEIGHTS
from models.contract.recipe import remember
from models.contract.registry import families
from models.data.pictures import Collection, EpochOrder, SizedOrder, Unsuitable, augment, open_collection
from models.diffusion import train as diffusion_training
from models.diffusion.spec import FlowConfig, FlowTraining
from models.gan import train as gan_training
from models.gan.spec import PROJECTED, GANConfig, GANTraining
from models.prompted_gan import train as prompted_gan_training
from models.prompted_gan.spec import PromptedGANConfig, PromptedGANTraining
from models.style_transfer import train as style_training
from models.style_transfer.spec import StyleTransferConfig, StyleTransferTraining
from models.training.ema import EMA
from models.training.optimizers import Muon, orthogonalize
from models.training.recovery import train_with_rollback
from models.training.run import Diverged, Run, Stopped
from models.training.schedule import step_generator, warmup_stable_decay
from models.training.state import NotSaved, pack, unpack
from models.training.views import encode_views
from models.transformer import train as transformer_training
from models.transformer.spec import TransformerConfig, TransformerTraining
from models.translation import train as translation_training
from models.translation.spec import TranslationConfig, TranslationTraining
from models.vae import train as vae_training
from models.vae.mixing import train as mixing_training
from models.vae.mixing.spec import MixingConfig, MixingTraining
from models.vae.spec import PromptedVAEConfig, PromptedVAETraining, VAEConfig, VAETraining

FSQ_SMALL = FSQTraining(network=FSQConfig(widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1), batch_size=4)
KL_SMALL = KLTraining(
    network=KLConfig(widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1),
    batch_size=4,
    kl_weight=1e-3,
    adversarial_weight=0.1,
    late_from=0.2,
)
TRANSFORMER_SMALL = TransformerTraining(
    network=TransformerConfig(
        width=64,
        heads=4,
        encoder_layers=1,
        decoder_layers=1,
        encoder_hidden=64,
        decoder_hidden=64,
        text_vocabulary=320,
        contrastive=True,
    ),
    batch_size=4,
    views=2,
)
FLOW_SMALL = FlowTraining(
    network=FlowConfig(
        width=64,
        heads=4,
        layers=1,
        hidden=64,
        encoder_layers=1,
        encoder_hidden=64,
        text_vocabulary=320,
    ),
    batch_size=4,
)


GAN_SMALL = GANTraining(
    size=64,
    network=GANConfig(size=64, patch=4, latent=8, width=16, max_width=32, blocks=1),
    batch_size=4,
    penalty_every=2,
    augmentation="fixed",
)
VAE_SMALL = VAETraining(
    size=64,
    network=VAEConfig(
        size=64,
        patch=4,
        latent=8,
        width=8,
        max_width=16,
        blocks=1,
        prior_width=32,
        prior_layers=2,
        likelihood="laplace",
    ),
    batch_size=4,
    perceptual_weight=0.1,  # in bfloat16, where there is some, features of pieces differ a little
)
PROMPTED_SMALL = PromptedVAETraining(
    **VAE_SMALL.model_dump(exclude={"network"}),
    network=PromptedVAEConfig(**VAE_SMALL.network.model_dump(exclude={"text"})),
)
MIXING_SMALL = MixingTraining(
    network=MixingConfig(size=64, content=2, style=4, widths=(16, 16, 8), decoder_blocks=1),
    batch_size=4,
    perceptual_weight=0.1,
    adversarial_weight=0.1,
    statistics_weight=0.1,
    classifier_weight=0.1,
    late_from=0.2,
)


STYLE_SMALL = StyleTransferTraining(
    network=StyleTransferConfig(widths=(8, 16, 24), blocks=1, style_width=16, style=16),
    size=64,
    crop=64,
    batch_size=4,
    adversarial_weight=0.1,
    late_from=0.2,
)
PROMPTED_GAN_SMALL = PromptedGANTraining(
    network=PromptedGANConfig(
        size=64,
        patch=4,
        width=32,
        heads=2,
        encoder_layers=1,
        encoder_hidden=32,
        text_vocabulary=300,
        prompt_length=8,
        latent=8,
        channels=32,
        max_channels=32,
    ),
    batch_size=4,
)
TRANSLATION_SMALL = TranslationTraining(network=TranslationConfig(size=64, widths=(8, 16, 24), blocks=2), batch_size=4)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    random = np.random.default_rng(0)
    items = [
        (
            Item(
                f"{i}",
                f"{i // 2}",
                f"{i // 2}",
                ["noto", "flat"][i % 2],
                ["train", "train", "pair", "concept"][i // 2 % 4],
                "a",
                "甲",
                [f"thing {i}", f"东西 {i}"],
                mirrorable=True,
            ),
            random.integers(0, 255, (64, 64, 3), dtype=np.uint8),
        )
        for i in range(16)
    ]
    write_prepared(tmp_path / "tiny", items, {"name": "tiny"})
    return open_collection(tmp_path / "tiny")


def states(run: Run) -> dict[str, torch.Tensor]:
    _, tensors = run.restore()
    return tensors


TRAINERS = {
    "fsq": (train.train, FSQ_SMALL),
    "kl": (train.train, KL_SMALL),
    "transformer": (transformer_training.train, TRANSFORMER_SMALL),
    "flow": (diffusion_training.train, FLOW_SMALL),
    "gan": (gan_training.train, GAN_SMALL),
    "projected gan": (gan_training.train, GAN_SMALL.model_copy(update={**PROJECTED, "batch_size": 2})),
    "vae": (vae_training.train, VAE_SMALL),
    "prompted vae": (vae_training.train, PROMPTED_SMALL),
    "mixing": (mixing_training.train, MIXING_SMALL),
    "style transfer": (style_training.train, STYLE_SMALL),
    "translation": (translation_training.train, TRANSLATION_SMALL),
    "text-to-image gan": (prompted_gan_training.train, PROMPTED_GAN_SMALL),
}


def test_a_state_fits_a_network_whose_layers_are_declared_in_another_order() -> None:
    """What an optimizer keeps goes by name. States of before, which went by number, are read as well."""

    class Network(torch.nn.Module):
        def __init__(self, names: str) -> None:
            super().__init__()
            for name in names:
                self.add_module(name, torch.nn.Linear(2, 2, bias=False))

    def trained(names: str) -> tuple[Network, torch.optim.AdamW]:
        torch.manual_seed(0)
        network = Network(names)
        return network, torch.optim.AdamW(network.parameters(), lr=0.1)

    network, optimizer = trained("ab")
    (network.a.weight * 3 + network.b.weight).square().sum().backward()
    optimizer.step()
    packed = pack(network=network, optimizer=optimizer)
    other, its_own = trained("ba")
    unpack(packed, network=other, optimizer=its_own)
    for name in "ab":
        ours, theirs = getattr(network, name).weight, getattr(other, name).weight
        assert torch.equal(ours, theirs)
        assert torch.equal(optimizer.state[ours]["exp_avg"], its_own.state[theirs]["exp_avg"])
    assert not torch.equal(optimizer.state[network.a.weight]["exp_avg"], optimizer.state[network.b.weight]["exp_avg"])
    numbered = {
        key.replace("network.a.weight", "0").replace("network.b.weight", "1") if "optimizer" in key else key: value
        for key, value in packed.items()
    }
    same, again = trained("ab")
    unpack(numbered, network=same, optimizer=again)
    assert torch.equal(again.state[same.b.weight]["exp_avg"], optimizer.state[network.b.weight]["exp_avg"])
    gone = {
        key.replace("network.a", "network.z") if "optimizer" in key else key: value for key, value in packed.items()
    }
    with pytest.raises(checkpoint.CheckpointError, match=r"network\.z\.weight, which no longer exists"):
        unpack(gone, network=same, optimizer=again)


@pytest.mark.parametrize("family", TRAINERS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(family: str, collection: Collection, tmp_path: Path) -> None:
    train, params = TRAINERS[family]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(params, collection, Run(whole, steps=4, echo=False))  # type: ignore[operator]
    first = Run(halves, steps=4, echo=False, checkpoint_seconds=0)
    first.save = stop_after(first, 2)  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        train(params, collection, first)  # type: ignore[operator]
    train(params, collection, Run(halves, steps=4, echo=False))  # type: ignore[operator]
    one, two = states(Run(whole, steps=4)), states(Run(halves, steps=4))
    assert one.keys() == two.keys() and len(one) > 10
    assert all(torch.equal(one[name], two[name]) for name in one)


def stop_after(run: Run, step: int) -> object:
    save = type(run).save

    def saving(at: int, tensors: dict[str, torch.Tensor]) -> None:
        run.budget.stop_requested = at == step
        save(run, at, tensors)

    return saving


def test_a_broken_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    run = Run(tmp_path, steps=9, echo=False)
    for step in (1, 2, 3):
        run.save(step, {"x": torch.full((4,), float(step))})
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 2
    newest = tmp_path / "checkpoints" / "step-00000003" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    step, tensors = run.restore()
    assert step == 2 and tensors["x"][0] == 2


def test_a_run_that_diverges_goes_back_once_with_half_the_rate_and_then_stops(tmp_path: Path) -> None:
    starts: list[tuple[int, float]] = []

    def train(diverging: int) -> object:
        def steps(params: object, data: object, run: Run) -> None:
            start, _ = run.restore()
            starts.append((start, run.rate))
            for step in range(start, run.budget.steps):
                bad = step == 3 and len(starts) <= diverging
                run.watch(step, torch.tensor(float("nan") if bad else 1.0))
                run.save(step + 1, {"x": torch.zeros(1)})

        return steps

    train_with_rollback(train(1), None, None, Run(tmp_path / "once", steps=5, echo=False))  # type: ignore[arg-type]
    assert starts == [(0, 1.0), (3, 0.5)]
    again = Run(tmp_path / "once", steps=5, echo=False)
    assert again.restore()[0] == 5 and again.rate == 0.5
    starts.clear()
    with pytest.raises(Diverged, match="step 3 is nan"):
        train_with_rollback(train(9), None, None, Run(tmp_path / "ever", steps=5, echo=False))  # type: ignore[arg-type]
    assert Run(tmp_path / "ever", steps=5).restore()[0] == 3


@pytest.mark.parametrize("name", sorted(name for name, family in families().items() if family.cost and name != "lora"))
def test_larger_networks_are_said_to_take_longer(name: str) -> None:
    """Not what is put upon a pipeline: that decides."""
    family = families()[name]
    assert family.training is not None and family.cost is not None
    builds_on = "autoencoder" in family.training.model_fields
    usual = family.training.model_validate({"autoencoder": "drawings-fsq"} if builds_on else {})
    shape = usual.network  # type: ignore[attr-defined]
    stacks = {name: 5 * getattr(shape, name) for name in type(shape).model_fields if name.endswith("layers")}
    sides = ({"size": 256}, {"grid": 16}, stacks)
    measures = (*sides, *({name: by * getattr(shape, name, 0)} for name, by in (("width", 4), ("blocks", 16))))
    larger = shape.model_copy(update=next(each for each in measures if each and hasattr(shape, next(iter(each)))))
    slower = family.cost(usual.model_copy(update={"network": larger}))
    assert slower.items_per_second < family.cost(usual).items_per_second / 3.5


def test_no_state_is_kept_that_has_diverged(tmp_path: Path) -> None:
    run = Run(tmp_path, steps=9, echo=False)
    run.save(1, {"x": torch.ones(1), "n": torch.tensor(3)})
    with pytest.raises(Diverged, match="x at step 2 is not finite"):
        run.save(2, {"x": torch.tensor([1.0, float("inf")])})
    assert run.restore()[0] == 1
    run.report_metric(3, float("nan"))
    run.report_metric(4, 0.5)
    assert run.budget.best == (4, 0.5)


def test_no_model_is_written_that_is_beyond_half_precision(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    network.weight.data.fill_(1e6)
    with pytest.raises(checkpoint.CheckpointError, match="too large for float16"):
        checkpoint.write_model(tmp_path / "model", network, {"family": "x"})
    assert not (tmp_path / "model").exists()


def test_a_full_disk_at_a_checkpoint_keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, steps=9, echo=False)
    run.save(1, {"x": torch.ones(1)})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("models.training.state.save_file", full)
    with pytest.raises(NotSaved, match="No space left"):
        run.save(2, {"x": torch.ones(1)})
    assert run.restore()[0] == 1 and not list((tmp_path / "checkpoints").glob(".*"))


def test_a_run_folder_belongs_to_one_set_of_parameters(tmp_path: Path) -> None:
    assert remember(tmp_path / "run.json", {"family": "x", "batch_size": 4}) == []
    assert remember(tmp_path / "run.json", {"family": "x", "batch_size": 4}) == []
    assert remember(tmp_path / "run.json", {"family": "x", "batch_size": 8}) == ["batch_size"]


def test_orthogonalised_updates_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 64), (3, 64, 32)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)).float())
        assert values.min() > 0.5 and values.max() < 1.5


def test_what_comes_after_the_training_is_not_counted(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", steps=1, echo=False)
    run.restore()
    run.budget.stop_clock()
    trained = run.budget.seconds
    time.sleep(0.02)
    assert run.budget.seconds == trained


def test_muon_descends() -> None:
    torch.manual_seed(0)
    target, weight = torch.randn(16, 8), torch.nn.Parameter(torch.zeros(16, 8))
    optimizer = Muon([weight], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = (weight - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * target.square().mean().item()


def test_an_epoch_shows_every_item_once_and_depends_on_the_seed_alone() -> None:
    order = EpochOrder(np.arange(10), batch=4, seed=1)
    seen = np.concatenate([order.at(step) for step in range(5)])
    assert sorted(seen[:10]) == list(range(10)) and sorted(seen[10:]) == list(range(10))
    assert np.array_equal(EpochOrder(np.arange(10), 4, 1).at(3), order.at(3))
    with pytest.raises(ValueError, match="nothing to train on"):
        EpochOrder(np.arange(0), 4, 1)


def test_batches_of_one_size_show_every_picture() -> None:
    sizes = [(64, 64)] * 5 + [(48, 80)] * 2
    order = SizedOrder(np.arange(7), 2, 1, lambda i: sizes[i])
    assert order.steps == 4
    epochs = [[order.at(step) for step in range(4 * epoch, 4 * epoch + 4)] for epoch in range(3)]
    for epoch in epochs:
        assert all(len(batch) == 2 and len({sizes[i] for i in batch}) == 1 for batch in epoch)
        assert {int(i) for batch in epoch for i in batch} == set(range(7))
    assert not np.array_equal(epochs[0], epochs[1]), "each epoch has an order of its own"
    again = SizedOrder(np.arange(7), 2, 1, lambda i: sizes[i])
    assert np.array_equal(again.at(9), order.at(9))
    with pytest.raises(Unsuitable):
        SizedOrder(np.arange(0), 2, 1, lambda i: (1, 1))


def test_every_step_and_seed_has_randomness_of_its_own() -> None:
    draws = {float(torch.rand(1, generator=step_generator(s, k))) for s in (0, 1, 2**32) for k in (0, 1, 256)}
    assert len(draws) == 9


def test_a_shifted_picture_goes_on_at_its_edges() -> None:
    black = torch.full((64, 3, 8, 8), -1.0)
    assert torch.equal(augment(black, step_generator(0, 0)), black)
    ramp = torch.arange(8.0).expand(64, 3, 8, 8)
    assert len({shifted[0, 0].numpy().tobytes() for shifted in augment(ramp, step_generator(0, 0))}) == 10


def test_another_budget_lets_a_flat_run_go_on(tmp_path: Path) -> None:
    def run(steps: int, patience: int | None = 2) -> Run:
        made = Run(tmp_path, steps=steps, patience=patience, echo=False)
        made.restore()
        return made

    flat = run(10)
    for done in (1, 2, 3):
        flat.report_metric(done, float(done))
    flat.save(3, {"x": torch.zeros(1)})
    assert list(run(10).budget.steps_from(3)) == [], "killed after its plateau, it ends as it would have"
    assert list(run(12).budget.steps_from(3)) == list(range(3, 12))


def test_views_of_a_picture_differ_from_each_other(collection: Collection, tmp_path: Path) -> None:
    autoencoder, _ = load_autoencoder("drawings-fsq", torch.device("cpu"))
    views = encode_views(collection, autoencoder.encode, 6, torch.device("cpu"), np.uint16)
    assert len({views[0, view].tobytes() for view in range(6)}) >= 5


def test_the_schedule_warms_up_stays_and_decays() -> None:
    factors = [warmup_stable_decay(step, step / 1000, warmup=100, decay=0.3) for step in range(1001)]
    assert factors[0] == 0.01 and factors[100:700] == [1.0] * 600 and factors[1000] == 0
    assert factors[850] == pytest.approx(0.5)


def test_a_run_measures_itself_often_at_first_and_then_less_and_less(tmp_path: Path) -> None:
    def measured(steps: int) -> list[int]:
        run = Run(tmp_path, steps=steps, echo=False)
        return [done for done in range(1, steps + 1) if run.budget.measure_is_due(done)]

    assert measured(100) == list(range(10, 101, 10))
    assert measured(7) == list(range(1, 8))
    long = measured(60_000)
    assert long[:3] == [500, 1000, 1500] and long[-1] == 60_000 and len(long) < 60
    gaps = [later - sooner for sooner, later in itertools.pairwise(long)]
    assert gaps[:24] == [500] * 24 and set(gaps[:-1]) == {500, 1000, 2000, 4000}


def test_the_average_follows_the_weights() -> None:
    network = torch.nn.Linear(2, 2)
    ema = EMA(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(1.0)
    before = ema.average.weight.clone()  # type: ignore[union-attr]
    ema.update(network, step=1000)
    assert torch.allclose(ema.average.weight, (before + 1) / 2)  # type: ignore[arg-type]


# --- weights files --------------------------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    card = checkpoint.write_model(tmp_path / "m", network, {"family": "x"}, {"note.txt": "hello"})
    again = checkpoint.load_into(
        torch.nn.Linear(3, 2),
        checkpoint.read_weights(tmp_path / "m/model.safetensors", card["files"][WEIGHTS]),
    )
    assert torch.allclose(again.weight, network.weight, atol=1e-3)  # type: ignore[arg-type]
    assert checkpoint.read_text(tmp_path / "m", "note.txt", card) == "hello"


def test_weights_in_eight_bits_are_half_as_large_and_nearly_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Embedding(500, 64), torch.nn.Conv2d(32, 32, 3), torch.nn.LayerNorm(64))
    with torch.no_grad():
        network[0].weight[7] *= 1000  # a row of its own measure
        network[0].weight[8] = 0
    card = checkpoint.write_model(tmp_path / "m", network, {"family": "x"}, {"note.txt": "hello"})
    before, full = (tmp_path / "m/model.safetensors").stat().st_size, checkpoint.opened(tmp_path / "m")[1]
    checkpoint.quantize(tmp_path / "m")
    after, found = checkpoint.opened(tmp_path / "m")
    assert (tmp_path / "m/model.safetensors").stat().st_size < 0.56 * before
    assert after["sha256"] != card["sha256"] and after["parameters"] == card["parameters"]
    assert checkpoint.read_text(tmp_path / "m", "note.txt", after) == "hello"
    assert found.keys() == full.keys()
    for name, tensor in full.items():
        rows = tensor.float().flatten(1) if tensor.ndim > 1 else tensor.float()[None]
        apart = (found[name].float().reshape(rows.shape) - rows).abs().amax(1)
        assert (apart <= rows.abs().amax(1) / 127 / 2 + 1e-7).all()
    checkpoint.load_into(network, found)
    tensors = load_file(tmp_path / "m/model.safetensors")
    save_file({**tensors, "0.weight_scale": torch.ones(3, 1)}, tmp_path / "m/model.safetensors")
    with pytest.raises(checkpoint.CheckpointError, match="does not fit"):
        checkpoint.read_weights(tmp_path / "m/model.safetensors")


def test_broken_changed_and_foreign_weights_are_refused_with_a_reason(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    card = checkpoint.write_model(tmp_path / "m", network, {"family": "x"})
    weights = tmp_path / "m" / "model.safetensors"
    with pytest.raises(checkpoint.CheckpointError, match="changed"):
        checkpoint.read_weights(weights, "0" * 64)
    with pytest.raises(checkpoint.CheckpointError, match="another architecture"):
        checkpoint.load_into(torch.nn.Linear(4, 2), checkpoint.read_weights(weights, card["files"][WEIGHTS]))
    weights.write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        checkpoint.read_weights(weights)
    save_file({"weight": torch.tensor([float("nan")])}, weights)
    with pytest.raises(checkpoint.CheckpointError, match="NaN"):
        checkpoint.read_weights(weights)
    (tmp_path / "m" / "card.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(checkpoint.CheckpointError, match="format"):
        checkpoint.read_card(tmp_path / "m")


def test_an_autoencoder_of_other_weights_than_asked_for_is_refused() -> None:
    with pytest.raises(checkpoint.CheckpointError, match="not the one"):
        load_autoencoder("drawings-fsq", torch.device("cpu"), "0" * 64)
    with pytest.raises(checkpoint.CheckpointError, match="missing"):
        load_autoencoder("no-such", torch.device("cpu"))


def test_a_state_of_an_earlier_version_is_refused_with_the_reason() -> None:
    kept = pack(critic=torch.nn.Linear(2, 2))
    with pytest.raises(checkpoint.CheckpointError, match="saved its critic with an earlier version"):
        unpack(kept, critic=torch.nn.Sequential(torch.nn.Linear(2, 2)))
