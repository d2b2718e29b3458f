"""Stable Diffusion 1.5 and XL at full size with weights by chance: memory to prove and to draw, seconds a picture, also
against the package diffusers called directly and with each of the economies.

No weights of theirs can be had here; the shapes are those of the published configurations. Each runs in a process of
its own, whose peak is read. SIZES says which (sd,sdxl,flux; flux, for a GPU, at a third of its depth), SIDE of what
pixels, STEPS how many steps, PARTS what is measured (prove,draw,against,economies).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from models.contract.economy import USUAL, Economy
from models.contract.pipelines import ARCHITECTURES

SIZES = os.environ.get("SIZES", "sd,sdxl").split(",")
STEPS = int(os.environ.get("STEPS", 4))
SIDE = int(os.environ["SIDE"]) if "SIDE" in os.environ else None
PARTS = os.environ.get("PARTS", "prove,draw").split(",")
TIMES = 3  # that each is drawn, the two in turns
ECONOMIES = {
    "8-bit": Economy(weights="8-bit"),
    "beside the GPU": Economy(offload="always"),
    "compiled": Economy(compiles=True),
    "first block 0.1": Economy(first_block=0.1),
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
CLIP = {"vocab_size": 49408, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
LARGE = {**CLIP, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
HUGE = {**CLIP, "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
XL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def pretrained(table: Table) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        for name in SIZES:
            folder = Path(temporary) / name
            apart("build", name, folder)
            size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 2**30
            table.add_row(f"{name}, {size:.1f} GiB in half precision", "", "")
            if "prove" in PARTS:
                proved = apart("prove", name, folder)
                table.add_row("  proved", f"{proved['seconds']:.0f} s, {memory(proved)}", "")
            if "draw" in PARTS:
                drawn = apart("draw", name, folder)
                table.add_row(f"  {STEPS} steps of {drawn['side']} px", seconds(drawn), "")
            if "against" in PARTS:
                found = apart("against", name, folder)
                table.add_row("  the same by diffusers", f"{found['theirs']:.2f} s", f"{found['ratio']:.3f}")
            for title in ECONOMIES if "economies" in PARTS else ():
                found = apart("economy", name, folder, title)
                table.add_row(f"  {title}", seconds(found), f"{found['ratio']:.3f}")


def seconds(found: dict[str, Any]) -> str:
    return f"{found['seconds']:.1f} s, {memory(found)}"


def memory(found: dict[str, Any]) -> str:
    if "gpu" in found:
        return f"at most {found['gpu'] / 2**30:.1f} GiB of the GPU"
    return f"own memory at most {found['own'] / 2**30:.1f} GiB, resident at most {found['resident'] / 2**30:.1f} GiB"


def apart(what: str, name: str, folder: Path, *more: str) -> dict[str, Any]:
    """In a process of its own: time, and peaks of memory that is its own, and of what is resident, files included."""
    command = [sys.executable, "-m", "benchmarks.pretrained", what, name, str(folder), *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def build(name: str, folder: Path) -> dict[str, Any]:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from models.contract.pipelines import make_card
    from tests.support import pipelines

    if name == "flux":
        return build_flux(folder)
    torch.set_default_dtype(torch.float16)
    words = pipelines.clip_tokenizer(folder.with_name(f"{name}-words"))
    text = CLIPTextModel(CLIPTextConfig(**LARGE))
    scheduler = pipelines.DDIMScheduler(**pipelines.NOISE, clip_sample=False, set_alpha_to_one=False)
    made: Any
    if name == "sd":
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        made = StableDiffusionPipeline(AutoencoderKL(**VAE), text, words, unet, scheduler, **parts)
    else:
        second = CLIPTextModelWithProjection(CLIPTextConfig(**HUGE, projection_dim=1280))
        unet = UNet2DConditionModel(**XL)
        vae = AutoencoderKL(**VAE, scaling_factor=0.13025)
        made = StableDiffusionXLPipeline(vae, text, second, words, words, unet, scheduler)
    made.save_pretrained(folder, safe_serialization=True)
    make_card(folder)
    return {}


def build_flux(folder: Path) -> dict[str, Any]:
    """Six and twelve blocks of its nineteen and thirty-eight, and small encoders: they read a prompt once."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    from models.contract.pipelines import make_card
    from tests.support import pipelines

    torch.set_default_dtype(torch.bfloat16)
    words = pipelines.clip_tokenizer(folder.with_name("flux-words"))
    shape = {"num_layers": 6, "num_single_layers": 12, "guidance_embeds": True}
    transformer = FluxTransformer2DModel(joint_attention_dim=32, pooled_projection_dim=32, **shape)
    vae = AutoencoderKL(**{**VAE, "latent_channels": 16}, scaling_factor=0.3611, shift_factor=0.1159)
    made = FluxPipeline(
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae,
        pipelines.clip(),
        words,
        pipelines.t5(),
        pipelines.t5_tokenizer(),
        transformer,
    )
    made.save_pretrained(folder, safe_serialization=True)
    make_card(folder)
    return {}


def prove(name: str, folder: Path) -> dict[str, Any]:
    from models.pretrained.load import prove as proved

    proved(folder)
    return {}


def device() -> Any:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def drawing(folder: Path, economy: Economy) -> Callable[[], Any]:
    """Draws one picture."""
    from models.contract.sampling import Request
    from models.pretrained.sample import load
    from models.pretrained.spec import TextToImageParams

    sampler = load(folder, device(), economy=economy)
    params = TextToImageParams(prompt="a red fox", steps=STEPS, width=SIDE, height=SIDE)
    return lambda: sampler.sample([Request("text-to-image", params, 1)], lambda *_: None)[0].pixels


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = act()
    return time.perf_counter() - began, made


def with_gpu(found: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {**found, "gpu": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else found


def draw(name: str, folder: Path) -> dict[str, Any]:
    seconds, pixels = timed(drawing(folder, USUAL))
    return with_gpu({"seconds": seconds, "side": pixels.shape[0]})


def against(name: str, folder: Path) -> dict[str, Any]:
    """Ours over theirs, in turns, once before it counts."""
    import torch
    from diffusers import DiffusionPipeline

    from models.pretrained.load import open_pipeline

    ours = drawing(folder, USUAL)
    where = device()
    dtype = open_pipeline(folder, where)[0].dtype
    pipeline = DiffusionPipeline.from_pretrained(str(folder), torch_dtype=dtype, local_files_only=True).to(where)
    pipeline.set_progress_bar_config(disable=True)
    side = {} if SIDE is None else {"width": SIDE, "height": SIDE}
    guidance = ARCHITECTURES[type(pipeline).__name__].guidance

    def theirs() -> Any:
        generator = torch.Generator().manual_seed(1)
        more = {**side, "generator": generator, "output_type": "np", "guidance_scale": guidance}
        with torch.inference_mode():
            return pipeline("a red fox", num_inference_steps=STEPS, **more).images

    rounds = [(timed(ours)[0], timed(theirs)[0]) for _ in range(TIMES + 1)][1:]
    best = [min(each) for each in zip(*rounds, strict=True)]
    return {"theirs": best[1], "ratio": best[0] / best[1]}


def economy(name: str, folder: Path, title: str) -> dict[str, Any]:
    """Over the usual way, one after the other, since both may not fit; once each before it counts."""
    import gc

    import torch

    best = []
    for way in (USUAL, ECONOMIES[title]):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        act = drawing(folder, way)
        best.append(min([timed(act)[0] for _ in range(TIMES + 1)][1:]))
        del act
    return with_gpu({"seconds": best[1], "ratio": best[1] / best[0]})


class Peak:
    """The most memory of this process that belongs to no file, looked at often."""

    def __init__(self) -> None:
        import threading

        self.own = 0
        threading.Thread(target=self.look, daemon=True).start()

    def look(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text("ascii").splitlines()
            (line,) = [line for line in lines if line.startswith("RssAnon")]
            self.own = max(self.own, int(line.split()[1]) * 1024)
            time.sleep(0.05)


def main(what: str, name: str, folder: str, *more: str) -> None:
    import resource

    peak, began = Peak(), time.perf_counter()
    acts: dict[str, Callable[..., dict[str, Any]]] = {"build": build, "prove": prove, "draw": draw}
    acts |= {"against": against, "economy": economy}
    found = acts[what](name, Path(folder), *more)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": time.perf_counter() - began, "own": peak.own, "resident": resident, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
