"""Tiny pipelines of the architectures that artists use, with weights by chance, built from configurations alone."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from models.pretrained.load import open_pipeline

SIDE = 64  # of what they are "trained" at
WIDTH = 32
LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]


def build(name: str, folder: Path) -> Path:
    """A folder as the package writes it."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = BUILDERS[name](folder.with_name(f"{folder.name}-words"))
        made.save_pretrained(folder, safe_serialization=True)
    return folder


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=77)


def t5_tokenizer() -> PreTrainedTokenizerFast:
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    named = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **named)


def clip(kind: Any = CLIPTextModel, width: int = WIDTH) -> Any:
    config = CLIPTextConfig(
        vocab_size=100,
        hidden_size=width,
        intermediate_size=37,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return kind(config)


def t5() -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=40, d_model=WIDTH, d_kv=8, d_ff=37, num_layers=2, num_heads=4))


def autoencoder(channels: int = 4, **more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIDE,
        **more,
    )


def unet(words: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=SIDE // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=words,
        norm_num_groups=8,
        attention_head_dim=8,
        **more,
    )


NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def stable_diffusion(words: Path) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(words),
        unet=unet(WIDTH),
        scheduler=DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(words: Path, second: int = WIDTH) -> StableDiffusionXLPipeline:
    """`second`: width of the second encoder."""
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    return StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip(),
        text_encoder_2=clip(CLIPTextModelWithProjection, second),
        tokenizer=clip_tokenizer(words),
        tokenizer_2=clip_tokenizer(words),
        unet=unet(WIDTH + second, projection_class_embeddings_input_dim=second + 6 * 8, **added),
        scheduler=EulerDiscreteScheduler(**NOISE),
    )


def stable_diffusion_3(words: Path) -> StableDiffusion3Pipeline:
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=64,
    )
    return StableDiffusion3Pipeline(
        vae=autoencoder(16, shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(CLIPTextModelWithProjection),
        text_encoder_2=clip(CLIPTextModelWithProjection),
        text_encoder_3=None,
        tokenizer=clip_tokenizer(words),
        tokenizer_2=clip_tokenizer(words),
        tokenizer_3=None,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux(words: Path) -> FluxPipeline:
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return FluxPipeline(
        vae=autoencoder(4, shift_factor=0.1, scaling_factor=0.36, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(),
        text_encoder_2=t5(),
        tokenizer=clip_tokenizer(words),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


BUILDERS: dict[str, Callable[[Path], Any]] = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
}


def control_net(pipeline: Path, folder: Path, seed: int = 0) -> Path:
    """A folder as the package writes it, for a pipeline; its outputs are not zero, as those of new ones are."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, _ = open_pipeline(pipeline, torch.device("cpu"), torch.float32)
        if "unet" in made.components:
            net: Any = ControlNetModel.from_unet(made.unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
        elif "text_encoder_3" in made.config:
            net = SD3ControlNetModel.from_transformer(made.transformer, num_layers=1, num_extra_conditioning_channels=0)
        else:
            shape = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2, "attention_head_dim": 16}
            net = FluxControlNetModel.from_transformer(made.transformer, **shape)
        for parameter in net.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
        net.save_pretrained(folder, safe_serialization=True)
    return folder


def ip_adapter(pipeline: Path, folder: Path, is_fine: bool = False) -> Path:
    """A folder with an adapter's weights under a name of its own, and the network that sees; one that is fine ("plus")
    reads all that was seen.
    """
    torch.manual_seed(0)
    made, _ = open_pipeline(pipeline, torch.device("cpu"), torch.float32)
    unet, words = made.unet, made.unet.config.cross_attention_dim
    shape: Any = {"hidden_size": WIDTH, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = CLIPVisionConfig(**shape, projection_dim=WIDTH, image_size=32, patch_size=8)
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder", safe_serialization=True)
    tensors = resampler(words) if is_fine else projection(words)
    tensors = {f"image_proj.{name}": tensor for name, tensor in tensors.items()}
    attended = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for i, name in enumerate(attended):
        out = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        tensors |= {f"ip_adapter.{2 * i + 1}.{key}.weight": torch.randn(out, words) for key in ("to_k_ip", "to_v_ip")}
    save_file(tensors, folder / "ip-adapter of mine.safetensors")
    return folder


def projection(words: int) -> dict[str, torch.Tensor]:
    made = {"proj.weight": torch.randn(4 * words, WIDTH), "proj.bias": torch.zeros(4 * words)}
    return made | {"norm.weight": torch.ones(words), "norm.bias": torch.zeros(words)}


def resampler(words: int, heads: int = 1, width: int = 64) -> dict[str, torch.Tensor]:
    def linear(name: str, outputs: int, inputs: int, has_bias: bool = False) -> dict[str, torch.Tensor]:
        bias = {f"{name}.bias": torch.zeros(outputs)} if has_bias else {}
        return {f"{name}.weight": torch.randn(outputs, inputs) / inputs**0.5, **bias}

    def norm(name: str, size: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": torch.ones(size), f"{name}.bias": torch.zeros(size)}

    made = {"latents": torch.randn(1, 4, width)}
    made |= linear("proj_in", width, WIDTH, True) | linear("proj_out", words, width, True) | norm("norm_out", words)
    for i in range(4):
        made |= norm(f"layers.{i}.0.norm1", width) | norm(f"layers.{i}.0.norm2", width)
        made |= linear(f"layers.{i}.0.to_q", 64 * heads, width) | linear(f"layers.{i}.0.to_kv", 128 * heads, width)
        made |= linear(f"layers.{i}.0.to_out", width, 64 * heads) | norm(f"layers.{i}.1.0", width)
        made |= linear(f"layers.{i}.1.1", 4 * width, width) | linear(f"layers.{i}.1.3", width, 4 * width)
    return made
