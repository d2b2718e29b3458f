"""Stable Diffusion 1.5 and XL at full size with weights by chance: memory to prove and to draw, seconds a step.

No weights of theirs can be had here; the shapes are those of the published configurations. Each runs in a process of
its own, whose peak is read. SIZES says which (sd,sdxl).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.table import Table

SIZES = os.environ.get("SIZES", "sd,sdxl").split(",")
STEPS = 4
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
            proved = apart("prove", name, folder)
            drawn = apart("draw", name, folder)
            title = f"{name}, {drawn['parameters'] / 1e9:.2f} G weights, {size:.1f} GiB in half precision"
            table.add_row(f"{title}: proved", f"{proved['seconds']:.0f} s, {memory(proved)}", "")
            table.add_row(f"  {STEPS} steps of {drawn['side']} px", f"{drawn['seconds']:.0f} s, {memory(drawn)}", "")


def memory(found: dict[str, Any]) -> str:
    return f"own memory at most {found['own'] / 2**30:.1f} GiB, resident at most {found['resident'] / 2**30:.1f} GiB"


def apart(what: str, name: str, folder: Path) -> dict[str, Any]:
    """In a process of its own: time, and peaks of memory that is its own, and of what is resident, files included."""
    command = [sys.executable, "-m", "benchmarks.pretrained", what, name, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def build(name: str, folder: Path) -> dict[str, Any]:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from models.contract.pipelines import make_card
    from tests.support import pipelines

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


def prove(name: str, folder: Path) -> dict[str, Any]:
    from models.pretrained.load import prove as proved

    proved(folder)
    return {}


def draw(name: str, folder: Path) -> dict[str, Any]:
    import torch

    from models.contract.card import read_card
    from models.contract.sampling import Request
    from models.pretrained.sample import load
    from models.pretrained.spec import TextToImageParams

    torch.set_num_threads(os.cpu_count() or 1)
    sampler = load(folder, torch.device("cpu"))
    params = TextToImageParams(prompt="a red fox", steps=STEPS)
    began = time.perf_counter()
    (output,) = sampler.sample([Request("text-to-image", params, 1)], lambda *_: None)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "parameters": read_card(folder)["parameters"], "side": output.pixels.shape[0]}


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


def main(what: str, name: str, folder: str) -> None:
    import resource

    peak, began = Peak(), time.perf_counter()
    found = {"build": build, "prove": prove, "draw": draw}[what](name, Path(folder))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": time.perf_counter() - began, "own": peak.own, "resident": resident, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
