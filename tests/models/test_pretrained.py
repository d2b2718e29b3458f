"""Pretrained pipelines: folders that are refused with a reason, every task of every architecture."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.checkpoints import importing
from models.adopt import adopt
from models.contract.adapters import CONTROL_WEIGHTS, fits
from models.contract.card import CheckpointError, read_card, weights_of
from models.contract.pipelines import ARCHITECTURES, SCHEDULERS, make_card
from models.contract.publication import publish
from models.contract.registry import families
from models.contract.sampling import Cancelled, Inputs, Request, Unfit
from models.contract.values import Picture
from models.pretrained import sample
from models.pretrained.load import prove, stored_type
from models.pretrained.sample import PipelineSampler, load
from models.pretrained.words import weighted
from models.pretrained.work import fitted
from models.prove import prove as prove_any
from tests.support import pipelines, single_files

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages among themselves
TASKS = {task.name: task for task in families()["pipeline"].tasks}
SHADES = np.random.default_rng(0).integers(0, 255, (72, 80, 3), dtype=np.uint8)
MARKED = np.zeros((72, 80, 3), np.uint8)
MARKED[20:40, 20:60] = 255
MORE: dict[str, dict[str, Any]] = {"text-to-image": {"width": 96, "height": 64}, "outpainting": {"left": 32}}


@pytest.fixture(scope="module")
def sampler(folders: Callable[[str], Path]) -> Callable[[str], PipelineSampler]:
    @cache
    def loaded(name: str) -> PipelineSampler:
        return load(folders(name), torch.device("cpu"))

    return loaded


def request(task: str, seed: int = 1, **more: Any) -> Request:
    kind = TASKS[task].params
    words = {"prompt": "a red fox"} if "prompt" in kind.model_fields else {}
    params = kind.model_validate({"steps": 3, **words, **MORE.get(task, {}), **more})
    given = {"image": SHADES, "mask": MARKED}
    inputs: Inputs = {each.role: [Picture(given[each.role])] for each in TASKS[task].inputs if each.least}
    return Request(task, params, seed, inputs)


# --- folders --------------------------------------------------------------------------------------------------------


def copied(folder: Path, tmp_path: Path) -> Path:
    made = Path(shutil.copytree(folder, tmp_path / "copy"))
    (made / "card.json").unlink()
    return made


def test_a_card_names_every_file_of_a_pipeline_and_nothing_else_stays(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(folders("sdxl"), tmp_path)
    (folder / "README.md").write_text("# A model")
    (folder / "unet" / "notes.md").write_text("more")
    card = make_card(folder)
    assert card["config"] == {
        "architecture": "StableDiffusionXLPipeline",
        "denoiser": "unet",
        "grid": 8,
        "size": 64,
        "width": 64,
    }
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(card["files"]) == there - {"card.json"} and "README.md" not in there
    assert len(weights_of(card)) == 4 and card["parameters"] > 300_000


def pickled(folder: Path) -> None:
    torch.save({"a": torch.zeros(2)}, folder / "vae" / "harmless.json")


def without_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def foreign(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": ["my_code", "UNet"]}))


def without(folder: Path, part: str) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, part: [None, None]}))


def unknown(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDMPipeline"}))


def linked(folder: Path) -> None:
    (folder / "vae" / "more.json").symlink_to("/etc/hostname")


def cut_off(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (pickled, "vae/harmless.json may hold code"),
    (lambda folder: (folder / "unet" / "model.ckpt").write_bytes(b"x"), "unet/model.ckpt may hold code"),
    (without_shard, "diffusion_pytorch_model-00001-of-00002.safetensors is missing"),
    (lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink(), "vae/diff.* is missing"),
    (lambda folder: shutil.rmtree(folder / "text_encoder"), "text_encoder/config.json is missing"),
    (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer/tokenizer.json is missing"),
    (lambda folder: without(folder, "text_encoder"), "text_encoder is missing in model_index.json"),
    (foreign, "unet is of code that is not known here"),
    (unknown, "AudioLDMPipeline is not a pipeline that is known here: Stable Diffusion,"),
    (linked, "vae/more.json is no plain file"),
    (cut_off, "cut off"),
    (lambda folder: (folder / "unet" / "config.json").write_text("{"), "unet/config.json is not JSON"),
]


@pytest.mark.parametrize(("broken", "reason"), BROKEN)
def test_a_folder_that_is_not_whole_is_refused_with_what_is_missing(
    broken: Callable[[Path], object], reason: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(folders("sd"), tmp_path)
    broken(folder)
    with pytest.raises(CheckpointError, match=reason):
        make_card(folder)


def test_weights_that_hold_nan_are_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(folders("sd"), tmp_path)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_in.weight"][0, 0, 0, 0] = torch.nan
    save_file(tensors, weights, {"format": "pt"})
    make_card(folder)
    with pytest.raises(CheckpointError, match="unet hold NaN"):
        load(folder, torch.device("cpu"))


def test_weights_that_are_not_there_are_not_made_up(folders: Callable[[str], Path], tmp_path: Path) -> None:
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        folder = copied(folders("sd"), tmp_path / part)
        weights = folder / part / f"{name}.safetensors"
        tensors = load_file(weights)
        lost = next(key for key in tensors if key.endswith("weight"))
        del tensors[lost]
        save_file(tensors, weights, {"format": "pt"})
        make_card(folder)
        with pytest.raises(CheckpointError, match="missing"):
            prove(folder)


def test_a_pipeline_in_half_precision_with_names_of_a_variant(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(folders("sd"), tmp_path)
    for weights in folder.rglob("*.safetensors"):
        halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
        save_file(halves, weights.with_suffix(".fp16.safetensors"), {"format": "pt"})
        weights.unlink()
    card = make_card(folder)
    prove(folder)
    assert stored_type(folder, card) == torch.float16
    made = load(folder, torch.device("cpu"))
    assert made.sample([request("text-to-image")], lambda *_: None)[0].pixels.shape == (64, 96, 3)


def test_a_pipeline_is_collected_from_a_zip_and_published_with_its_folders(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, packed = folders("sd"), BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "card.json":
                zipped.write(path, f"sd 1.5 (mine)/{path.relative_to(folder).as_posix()}")
    packed.seek(0)
    (tmp_path / "new").mkdir()
    importing.collect(tmp_path / "new", [("sd.zip", packed)])
    card = make_card(tmp_path / "new")
    target = publish(tmp_path / "new", tmp_path / "checkpoints", "sd")
    assert (target / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    (target / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"changed")
    with pytest.raises(CheckpointError, match="safetensors"):
        publish(target, tmp_path / "checkpoints", "again")
    assert card["sha256"] != ""


def test_names_lead_nowhere_else() -> None:
    assert importing.names_of(["a/model_index.json", "a/unet/x.json"]) == {
        "a/model_index.json": "model_index.json",
        "a/unet/x.json": "unet/x.json",
    }
    assert importing.names_of(["some/card.json", "model.safetensors"])["some/card.json"] == "card.json"
    for strange in ("a/../../etc/passwd", "a/b/c/d/e/f.json", "a/unet/x y.json", "a//x.json"):
        with pytest.raises(CheckpointError, match="not a file of a checkpoint"):
            importing.names_of(["a/model_index.json", strange])


# --- drawing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_every_task_of_every_architecture(name: str, task: str, sampler: Callable[[str], PipelineSampler]) -> None:
    said: list[tuple[int, int]] = []

    def told(step: int, total: int, previews: Callable[[], list[Any]]) -> None:
        said.append((step, total))
        assert len(previews()) == 2 and previews()[0].pixels.dtype == np.uint8

    batch = [request(task, seed=1), request(task, seed=2)]
    first, second = (output.pixels for output in sampler(name).sample(batch, told))
    (alone,) = sampler(name).sample([request(task, seed=2)], lambda *_: None)
    rounding, apart = (np.abs(second - each.astype(float)).mean() for each in (alone.pixels, first))
    assert rounding <= 1 and rounding < apart / 4, "half precision rounds otherwise in another shape"
    assert said[-1][0] == said[-1][1] and [step for step, _ in said] == sorted({step for step, _ in said})
    if task == "text-to-image":
        assert first.shape == (64, 96, 3)
    if task == "inpainting":
        assert first.shape == SHADES.shape and (first[MARKED == 0] == SHADES[MARKED == 0]).all()
    if task == "outpainting":
        assert first.shape == (72, 112, 3) and (first[:, 32:] == SHADES).all()


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a red fox", [("a red fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("a ((red)) fox", [("a ", 1.0), ("red", 1.1**2), (" fox", 1.0)]),
        ("a (red:1.4) fox", [("a ", 1.0), ("red", 1.4), (" fox", 1.0)]),
        ("a [red] fox", [("a ", 1.0), ("red", 1 / 1.1), (" fox", 1.0)]),
        ("a (big (red:2) fox:0.5)", [("a ", 1.0), ("big ", 0.5), ("red", 1.0), (" fox", 0.5)]),
        (r"a \(red\) fox: new", [("a (red) fox: new", 1.0)]),
        ("a (red", [("a ", 1.0), ("red", 1.1)]),
        ("a red) fox] :)", [("a red) fox] :)", 1.0)]),
        ("", []),
    ],
)
def test_brackets_weigh(prompt: str, parts: list[tuple[str, float]]) -> None:
    found = weighted(prompt)
    assert [text for text, _ in found] == [text for text, _ in parts]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in parts])


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_short_prompt_is_read_as_the_pipeline_reads_it(name: str, sampler: Callable[[str], PipelineSampler]) -> None:
    own = sampler(name)
    pipeline, words = own.pipelines["text-to-image"], own.words
    assert words is not None
    texts = ["a red fox", "sky"]
    for skip in (0, 1) if name == "sdxl" else (0,):  # the package's own for one encoder is broken
        found, pooled = words.read(texts, 1, skip)
        options = {"prompt": texts, "device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        theirs, *others = pipeline.encode_prompt(**options, clip_skip=skip or None)
        assert torch.allclose(found.float(), theirs.float(), atol=1e-2)
        assert pooled is None or torch.allclose(pooled.float(), others[1].float(), atol=1e-2)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_long_prompt_is_read_to_its_end_and_weights_count(
    name: str, sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(*prompts: str, **more: Any) -> list[Any]:
        batch = [request("text-to-image", **more, **({"prompt": each} if each else {})) for each in prompts or [""]]
        return [output.pixels.astype(float) for output in sampler(name).sample(batch, lambda *_: None)]

    long = "a red fox in the snow " * 12
    first, other = drawn(f"{long} at night", f"{long} at noon")
    assert np.abs(first - other).max() > 0, "what stands at the end counts"
    assert np.abs(drawn(f"{long} at night", "sky")[0] - first).mean() <= 1, "alone and beside a short one"
    (plain,) = drawn("a red fox")
    for changed in (
        drawn("a (red:1.8) fox"),
        drawn("a red fox", clip_skip=1),
        drawn("a red fox", negative_prompt=long),
    ):
        assert np.abs(changed[0] - plain).max() > 0


def test_one_file_with_its_companions_becomes_the_same_pipeline(
    folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler], tmp_path: Path
) -> None:
    place = single_files.single_file(folders("sd"), tmp_path / "one")
    adopt(place)
    card = read_card(place)
    assert not list(place.glob("*.safetensors")) and {"unet/config.json", "model_index.json"} <= set(card["files"])
    assert_same(place, folders("sd"))
    drawn = load(place, torch.device("cpu")).sample([request("text-to-image")], lambda *_: None)[0].pixels
    assert np.array_equal(drawn, sampler("sd").sample([request("text-to-image")], lambda *_: None)[0].pixels)


def assert_same(ours: Path, theirs: Path) -> None:
    """In all weights."""
    for name in weights_of(read_card(ours)):
        one, other = load_file(ours / name), load_file(theirs / name)
        assert one.keys() == other.keys() and all(torch.equal(one[key].to(other[key]), other[key]) for key in one), name


def test_one_file_of_xl_with_its_two_encoders(tmp_path: Path) -> None:
    """Which differ in width, as the real ones do."""
    torch.manual_seed(0)
    whole = tmp_path / "whole"
    pipelines.stable_diffusion_xl(tmp_path / "words", second=48).save_pretrained(whole, safe_serialization=True)
    make_card(whole)
    place = single_files.single_file(whole, tmp_path / "one")
    adopt(place)
    assert_same(place, whole)
    assert load(place, torch.device("cpu")).sample([request("text-to-image")], lambda *_: None)


@pytest.mark.parametrize("name", ["sd3", "flux"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_one_file_of_what_draws_beside_the_weights_of_the_rest(
    name: str, dtype: torch.dtype, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    place = single_files.denoiser_alone(folders(name), tmp_path / "one", "transformer", dtype)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*.safetensors") if path.parent != place}
    adopt(place)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was there stays as it was"
    kept = load_file(place / "transformer" / "diffusion_pytorch_model.safetensors")
    assert {each.dtype for each in kept.values()} == {torch.bfloat16 if dtype.itemsize == 1 else dtype}
    if dtype == torch.float32:
        assert_same(place, folders(name))
    assert load(place, torch.device("cpu")).sample([request("text-to-image")], lambda *_: None)


def test_one_file_without_its_companions_is_refused_by_name(folders: Callable[[str], Path], tmp_path: Path) -> None:
    for number, missing in enumerate(("tokenizer", "unet", "scheduler")):
        place = single_files.single_file(folders("sd"), tmp_path / f"one-{number}")
        shutil.rmtree(place / missing)
        with pytest.raises(CheckpointError, match=missing):
            adopt(place)
    place = single_files.single_file(folders("sd"), tmp_path / "foreign")
    save_file({"a": torch.zeros(2)}, place / "old-model.safetensors")
    with pytest.raises(CheckpointError):
        adopt(place)


def test_a_part_that_is_nowhere_is_named(folders: Callable[[str], Path], tmp_path: Path) -> None:
    place = single_files.denoiser_alone(folders("flux"), tmp_path / "one", "transformer", torch.float32)
    for path in (place / "text_encoder_2").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(CheckpointError, match=r"text_encoder_2.* is missing"):
        adopt(place)


def test_no_pickle_is_read_beside_one_file(folders: Callable[[str], Path], tmp_path: Path) -> None:
    place = single_files.denoiser_alone(folders("flux"), tmp_path / "one", "transformer", torch.float32)
    for path in (place / "text_encoder").glob("*.safetensors"):
        path.unlink()
    (place / "text_encoder" / "pytorch_model.bin").write_bytes(b"\x80\x02 anything")
    with pytest.raises(CheckpointError, match="may hold code"):
        adopt(place)


def test_each_part_of_one_file_keeps_its_type(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """Halved, the autoencoder of some models decodes to NaN."""
    place = single_files.single_file(folders("sd"), tmp_path / "one")
    tensors = load_file(place / "old-model.safetensors")
    halved = {n: each if n.startswith("first_stage_model") else each.half() for n, each in tensors.items()}
    save_file(halved, place / "old-model.safetensors")
    adopt(place)
    kept = {
        path.parent.name: {each.dtype for each in load_file(path).values()} for path in place.rglob("*.safetensors")
    }
    assert kept["vae"] == {torch.float32} and kept["unet"] == {torch.float16} == kept["text_encoder"]


def test_the_one_file_of_a_folder_may_be_called_anything() -> None:
    labels = ["flux/model_index.json", "flux/flux1 dev (fp8).safetensors", "flux/vae/model.safetensors"]
    assert importing.names_of(labels)[labels[1]] == "model.safetensors"


def test_scaled_weights_of_a_part_are_refused_too(folders: Callable[[str], Path], tmp_path: Path) -> None:
    place = copied(folders("flux"), tmp_path)
    path = place / "text_encoder_2" / "model.safetensors"
    save_file({**load_file(path), "encoder.scale_weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"encoder\.scale_weight"):
        make_card(place)


def test_weights_that_are_scaled_are_refused_by_name(folders: Callable[[str], Path], tmp_path: Path) -> None:
    place = single_files.denoiser_alone(folders("flux"), tmp_path / "one", "transformer", torch.float8_e4m3fn)
    tensors = load_file(place / "only-this.safetensors")
    save_file({**tensors, "proj_out.scale_weight": torch.ones(1)}, place / "only-this.safetensors")
    with pytest.raises(CheckpointError, match=r"proj_out\.scale_weight"):
        adopt(place)


# --- adapters -------------------------------------------------------------------------------------------------------


def lora(kind: str, seed: int, key: str = "lora_A") -> dict[str, torch.Tensor]:
    """On the queries, keys and values of all attention to words of the tiny U-Net, or of the transformer's stream."""
    torch.manual_seed(seed)
    up = {"lora_A": "lora_B", "lora_down": "lora_up"}[key]
    shapes = {
        "sd": [("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 32, 32)],
        "sdxl": [("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 64, 32)],
        "sd3": [("transformer_blocks.0.attn.to_q", 32, 32), ("transformer_blocks.1.attn.to_k", 32, 32)],
        "flux": [("single_transformer_blocks.0.attn.to_q", 32, 32)],
    }[kind]
    part = "transformer" if kind in ("sd3", "flux") else "unet"
    made = {}
    for name, inputs, outputs in shapes:
        full = f"lora_{part}_{name.replace('.', '_')}" if key == "lora_down" else f"{part}.{name}"
        made[f"{full}.{key}.weight"] = torch.randn(4, inputs)
        made[f"{full}.{up}.weight"] = torch.randn(outputs, 4)
        if key == "lora_down":
            made[f"{full}.alpha"] = torch.tensor(4.0)
    return made


def published(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> Path:
    """Beside the pipeline."""
    place = folder.parent / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    save_file(tensors, place / "some lora.safetensors")
    adopt(place)
    return place


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_an_adapter_has_effect_by_its_weight_and_leaves_nothing_behind(
    name: str, folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(*adapters: tuple[str, float], task: str = "text-to-image") -> Any:
        asked = [{"name": each, "weight": weight} for each, weight in adapters]
        return sampler(name).sample([request(task, adapters=asked)], lambda *_: None)[0].pixels.astype(float)

    first, second = f"{name}-first", f"{name}-second"
    for seed, each in enumerate((first, second)):
        place = published(folders(name), each, lora(name, seed))
        assert fits(read_card(place), read_card(folders(name))) and read_card(place)["config"]["rank"] == 4
    before = drawn()
    one = drawn((first, 1.0))
    assert np.abs(one - before).max() > 0 and (drawn() == before).all(), "it is in effect for one batch only"
    assert (drawn((first, 0.0)) == before).all()
    assert np.abs(drawn((second, 1.0)) - one).max() > 0 and (drawn((first, 1.0)) == one).all()
    both = drawn((first, 1.0), (second, 1.0))
    assert np.abs(both - one).max() > 0 and (drawn() == before).all()
    plain = drawn(task="image-to-image")
    assert np.abs(drawn((first, 1.0), task="image-to-image") - plain).max() > 0
    assert (drawn(task="image-to-image") == plain).all()


def test_an_adapter_as_kohya_calls_its_parts_is_the_same(
    folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(adapter: str) -> Any:
        asked = [{"name": adapter, "weight": 1.0}]
        return sampler("sd").sample([request("text-to-image", adapters=asked)], lambda *_: None)[0].pixels

    for key in ("lora_A", "lora_down"):
        published(folders("sd"), f"as-{key.replace('_', '-').lower()}", lora("sd", 7, key))
    assert (drawn("as-lora-a") == drawn("as-lora-down")).all()


def test_an_adapter_that_does_not_fit_is_said_and_the_pipeline_goes_on(
    folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(**adapter: Any) -> Any:
        asked = [adapter] if adapter else []
        return sampler("sd").sample([request("text-to-image", adapters=asked)], lambda *_: None)[0].pixels

    before = drawn()
    place = published(folders("sd"), "for-xl", lora("sdxl", 1))
    assert not fits(read_card(place), read_card(folders("sd")))
    for name in ("for-xl", "flux-only"):
        if name == "flux-only":
            published(folders("sd"), name, lora("flux", 1))
        with pytest.raises(Unfit, match="not built on this model"):
            drawn(name=name)
        assert (drawn() == before).all()
    with pytest.raises(Unfit, match="no adapter nobody"):
        drawn(name="nobody")
    published(folders("sd"), "replaced", lora("sd", 3))
    with pytest.raises(Unfit, match="has been replaced"):
        drawn(name="replaced", sha256="0" * 64)


def test_adapters_of_other_kinds_are_refused(tmp_path: Path) -> None:
    tensors = {"lora_unet_a.hada_w1_a": torch.zeros(2, 2), "lora_unet_b.lora_down.weight": torch.zeros(2, 2)}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="give a LoRA"):
        adopt(tmp_path)


def test_a_learnt_word_counts_where_a_prompt_names_it(
    folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(prompt: str, weight: float | None = 1.0, **more: Any) -> Any:
        asked = [] if weight is None else [{"name": "my-style", "weight": weight}]
        made = sampler(kind).sample([request("text-to-image", prompt=prompt, adapters=asked, **more)], lambda *_: None)
        return made[0]

    torch.manual_seed(2)
    learnt = {"sd": {"<ink>": torch.randn(3, 32)}, "sdxl": {"clip_g": torch.randn(2, 32), "clip_l": torch.randn(2, 32)}}
    for kind, tensors in learnt.items():
        place = published(folders(kind), "my-style", tensors)
        assert fits(read_card(place), read_card(folders(kind)))
        plain, named = drawn("a fox, my-style", None), drawn("a fox, My-Style")
        assert not np.array_equal(plain.pixels, named.pixels) and named.remark is None
        assert not np.array_equal(named.pixels, drawn("a fox, my-style", 0.3).pixels)
        assert not np.array_equal(named.pixels, drawn("a fox, (my-style:1.5)").pixels)
        assert not np.array_equal(drawn("a fox").pixels, drawn("a fox", negative_prompt="my-style").pixels)
        unused = drawn("a fox, my-styles")
        assert np.array_equal(unused.pixels, drawn("a fox, my-styles", None).pixels)
        assert unused.remark and "my-style" in str(unused.remark)
        far = "word " * 80
        assert not np.array_equal(drawn(f"{far} my-style").pixels, drawn(f"{far} my-style", None).pixels)


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_a_control_net_follows_its_picture_and_leaves_nothing_behind(
    name: str, folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(task: str = "text-to-image", light: int | None = None, **control: float) -> Any:
        controls = [] if light is None else [{"name": f"{name}-lines", **control}]
        asked = request(task, controls=controls)
        if light is not None:
            asked.inputs["control"] = [Picture(np.full((50, 40, 3), light, np.uint8))]
        return sampler(name).sample([asked], lambda *_: None)[0].pixels

    place = pipelines.control_net(folders(name), folders(name).with_name(f"{name}-lines"))
    adopt(place)
    assert fits(read_card(place), read_card(folders(name)))
    before, dark = drawn(), drawn(light=0)
    assert not np.array_equal(before, dark) and not np.array_equal(dark, drawn(light=255)), "the picture counts"
    assert np.array_equal(drawn(), before)
    if name != "flux":  # its noise comes after that of encoding the picture
        assert np.array_equal(drawn(light=255, weight=0), before)
    assert not np.array_equal(drawn(light=255, end=0.5), drawn(light=255))
    for task in ("image-to-image", "inpainting"):
        if name == "sd3":
            with pytest.raises(Unfit, match="drawn again"):
                drawn(task, light=0)
        else:
            assert not np.array_equal(drawn(task), drawn(task, light=0))


def test_two_control_nets_follow_two_pictures(
    folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    for name in ("lines", "depth"):
        adopt(pipelines.control_net(folders("sd"), folders("sd").with_name(name), seed=len(name)))

    def drawn(*names: str) -> Any:
        asked = request("text-to-image", controls=[{"name": name} for name in names])
        asked.inputs["control"] = [Picture(np.full((64, 64, 3), 60 * i, np.uint8)) for i in range(len(names))]
        return sampler("sd").sample([asked, asked], lambda *_: None)

    one, two = drawn("lines"), drawn("lines", "depth")
    assert not np.array_equal(one[0].pixels, two[0].pixels) and np.array_equal(two[0].pixels, two[1].pixels)


def test_what_is_followed_or_gone_by_costs_nothing_and_parts_no_batch() -> None:
    large = {"width": 4000, "height": 3000}
    params = TASKS["text-to-image"].params(prompt="a")
    plain, led = ({}, {"control": [large], "reference": [large]})
    task = TASKS["text-to-image"]
    assert task.cost(params, plain) == task.cost(params, led) and task.batch_key
    assert task.batch_key(params, plain) == task.batch_key(params, led)
    assert TASKS["image-to-image"].cost(params, {"image": [large]}) > task.cost(params, plain)


@pytest.mark.parametrize(("name", "is_fine"), [("sd", False), ("sd", True), ("sdxl", False)])
def test_an_ip_adapter_goes_by_its_picture_and_leaves_nothing_behind(
    name: str, is_fine: bool, folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler]
) -> None:
    def asked(light: int | None, task: str = "text-to-image", seed: int = 1, **more: Any) -> Request:
        references = [] if light is None else [{"name": f"{name}-eyes", **more.pop("adapter", {})}]
        made = request(task, seed=seed, references=references, **more)
        if light is not None:
            made.inputs["reference"] = [Picture(np.full((50, 40, 3), light, np.uint8))]
        return made

    def drawn(*batch: Request) -> list[Any]:
        return [output.pixels for output in sampler(name).sample(list(batch), lambda *_: None)]

    place = folders(name).with_name(f"{name}-eyes")
    shutil.rmtree(place, ignore_errors=True)
    pipelines.ip_adapter(folders(name), place, is_fine)
    adopt(place)
    prove_any(place)
    assert fits(read_card(place), read_card(folders(name)))
    (before,), (dark,), (light,) = drawn(asked(None)), drawn(asked(0)), drawn(asked(255))
    assert not np.array_equal(before, dark) and not np.array_equal(dark, light), "the picture counts"
    assert np.array_equal(drawn(asked(None))[0], before)
    assert np.array_equal(drawn(asked(255, adapter={"weight": 0.0}))[0], before)
    together = drawn(asked(0), asked(255, seed=1), asked(None))
    alone = [dark, light, before]
    apart = [[float(np.abs(one.astype(int) - other).mean()) for other in alone] for one in together]
    assert all(3 * row[i] < min(row[:i] + row[i + 1 :]) for i, row in enumerate(apart)), "each goes by its own"
    unguided = drawn(asked(0, guidance_scale=1.0))[0]
    assert not np.array_equal(unguided, drawn(asked(None, guidance_scale=1.0))[0])
    assert not np.array_equal(drawn(asked(0, "image-to-image"))[0], drawn(asked(None, "image-to-image"))[0])


def test_an_ip_adapter_that_does_not_fit_is_said(
    folders: Callable[[str], Path], sampler: Callable[[str], PipelineSampler], tmp_path: Path
) -> None:
    adopt(pipelines.ip_adapter(folders("sdxl"), folders("sd").with_name("for-xl-eyes")))
    before = sampler("sd").sample([request("text-to-image")], lambda *_: None)[0].pixels
    asked = request("text-to-image", references=[{"name": "for-xl-eyes"}])
    asked.inputs["reference"] = [Picture(SHADES)]
    with pytest.raises(Unfit, match="not built on this model"):
        sampler("sd").sample([asked], lambda *_: None)
    assert np.array_equal(before, sampler("sd").sample([request("text-to-image")], lambda *_: None)[0].pixels)
    place = pipelines.ip_adapter(folders("sd"), tmp_path / "eyes")
    weights = place / "ip-adapter of mine.safetensors"
    tensors = load_file(weights)
    for change, words in (
        ({"image_proj.proj.weight": torch.zeros(128, 40)}, "trained with"),
        ({"image_proj.proj.0.weight": torch.zeros(128, 32)}, "this kind"),
        ({"other": torch.zeros(1)}, "not known"),
    ):
        own = {name: each for name, each in tensors.items() if name != "image_proj.proj.weight"}
        save_file(own | change, weights)
        with pytest.raises(CheckpointError, match=words):
            adopt(place)
    (place / "image_encoder" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="image_encoder"):
        adopt(place)


def test_a_broken_control_net_is_refused_by_name(folders: Callable[[str], Path], tmp_path: Path) -> None:
    place = pipelines.control_net(folders("sd"), tmp_path / "lines")
    weights = load_file(place / CONTROL_WEIGHTS)
    dropped = sorted(weights)[3]
    save_file({name: each for name, each in weights.items() if name != dropped}, place / CONTROL_WEIGHTS)
    adopt(place)
    with pytest.raises(CheckpointError, match="is missing"):
        prove_any(place)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"_class_name": "Dice"}')
    with pytest.raises(CheckpointError, match="Dice is not known"):
        adopt(other)
    torch.save({"a": torch.zeros(2)}, other / "x.bin")
    (other / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    with pytest.raises(CheckpointError, match="may hold code"):
        adopt(other)


def test_many_adapters_take_turns(folders: Callable[[str], Path]) -> None:
    own = load(folders("sd"), torch.device("cpu"))
    names = [f"many-{i}" for i in range(14)]
    for i, name in enumerate(names):
        published(folders("sd"), name, lora("sd", i))
        own.sample([request("text-to-image", adapters=[{"name": name}])], lambda *_: None)
    assert len(own.adapters.loaded) == 12


# --- drawing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_draws_and_leaves_nothing_behind(
    scheduler: str, sampler: Callable[[str], PipelineSampler]
) -> None:
    def drawn(**more: Any) -> Any:
        return sampler("sd").sample([request("text-to-image", **more)], lambda *_: None)[0].pixels

    usual = drawn()
    assert drawn(scheduler=scheduler).shape == usual.shape
    assert (drawn() == usual).all()


def test_what_cannot_be_drawn_is_said(sampler: Callable[[str], PipelineSampler]) -> None:
    with pytest.raises(Unfit, match="no scheduler Dice"):
        sampler("sd").sample([request("text-to-image", scheduler="Dice")], lambda *_: None)
    with pytest.raises(Unfit, match="multiples of 16"):
        sampler("sd3").sample([request("text-to-image", width=72)], lambda *_: None)
    empty = request("inpainting")
    empty.inputs["mask"] = [Picture(np.zeros_like(MARKED))]
    with pytest.raises(Unfit, match="marks nothing"):
        sampler("sd").sample([empty], lambda *_: None)
    (output,) = sampler("flux").sample([request("image-to-image", negative_prompt="grey")], lambda *_: None)
    assert output.remark is not None and "negative prompt" in str(output.remark)


def test_a_walk_that_is_no_longer_wanted_ends_between_its_steps(sampler: Callable[[str], PipelineSampler]) -> None:
    def drawn() -> Any:
        return sampler("sdxl").sample([request("text-to-image")], lambda *_: None)[0].pixels

    def stop(step: int, total: int, previews: object) -> None:
        if step == 2:
            raise Cancelled

    before = drawn()
    with pytest.raises(Cancelled):
        sampler("sdxl").sample([request("text-to-image", steps=50)], stop)
    assert (drawn() == before).all()


def test_a_little_strength_still_walks_a_step(sampler: Callable[[str], PipelineSampler]) -> None:
    said = []
    sampler("sd").sample([request("image-to-image", strength=0.05)], lambda *told: said.append(told[:2]))
    assert said == [(1, 1)]


def test_large_pictures_are_decoded_in_tiles(
    sampler: Callable[[str], PipelineSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request("text-to-image", width=192, height=128)]
    (whole,) = sampler("sd").sample(asked, lambda *_: None)
    monkeypatch.setattr(sample, "LARGE", 64 * 64)
    (tiled,) = sampler("sd").sample(asked, lambda *_: None)
    apart = np.abs(whole.pixels.astype(float) - tiled.pixels)
    assert 0 < apart.mean() < 16 and tiled.pixels.shape == (128, 192, 3), (
        "seams are blended, and what norms see differs"
    )


def test_sizes_keep_their_proportions_on_the_grid() -> None:
    assert fitted(72, 80, 8) == (72, 80)
    assert fitted(4000, 2000, 16) == (2048, 1024)
    assert fitted(10, 20, 8) == (64, 128)
    assert fitted(1, 4000, 8) == (64, 2048)


def test_every_architecture_has_a_tiny_one() -> None:
    assert len(pipelines.BUILDERS) == len(ARCHITECTURES)
