"""Trains one rival and says how it did: `python rivals.py KIND TRAIN.npy TEST.npy OUT.npz --seconds S`.

Runs in the peers' environment and imports nothing of ours, on a GPU where there is one, as ours does. Pictures are
(N, 32 or 64, ., 3) uint8. OUT gets what the judge looks at, and on the last line of the output stands a JSON object
with `images_per_second` and `parameters`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DRAWN = 1000
WARM = 3  # steps that are not timed
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Clock:
    """Counts pictures and seconds of training, after some steps to warm up; `pictures` there are in all."""

    def __init__(self, seconds: float, batch: int, pictures: int) -> None:
        self.seconds, self.batch, self.pictures = seconds, batch, pictures
        self.steps, self.began = 0, 0.0

    def goes_on(self) -> bool:
        if self.steps == WARM:
            self.began = time.perf_counter()
        self.steps += 1
        return self.steps <= WARM or time.perf_counter() - self.began < self.seconds

    @property
    def images_per_second(self) -> float:
        return (self.steps - 1 - WARM) * self.batch / (time.perf_counter() - self.began)


def batches(pictures: np.ndarray, size: int, mirrored: bool) -> Iterator[Tensor]:
    """(size, 3, H, W) in [-1, 1], in epochs; `mirrored`: half of them, by chance."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(pictures))
        for at in range(0, len(order) - size + 1, size):
            batch = torch.from_numpy(pictures[order[at : at + size]]).to(DEVICE)
            batch = batch.permute(0, 3, 1, 2).float() / 127.5 - 1
            if mirrored:
                turned = torch.from_numpy(random.random(size) < 0.5).to(DEVICE)
                batch[turned] = batch[turned].flip(3)
            yield batch


def parameters(*networks: nn.Module) -> int:
    return sum(weight.numel() for network in networks for weight in network.parameters() if weight.requires_grad)


def as_pixels(pictures: Tensor) -> np.ndarray:
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


# --- GANs -----------------------------------------------------------------------------------------------------------


def lightweight(image_size: int, coefficient: int = 9, most: int = 160) -> nn.Module:
    """The package's own networks and optimizers. It asks for CUDA and torchvision when it is imported."""
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]  # type: ignore[attr-defined]
    real, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    try:
        from lightweight_gan import lightweight_gan as package
    finally:
        torch.cuda.is_available = real
    package.LightweightGAN.cuda = lambda self, rank=0: self
    made: nn.Module = package.LightweightGAN(
        latent_dim=most, image_size=image_size, fmap_max=most, fmap_inverse_coef=coefficient, attn_res_layers=[]
    )
    return made


def train_lightweight(
    data: Iterator[Tensor], clock: Clock, size: int, plain: bool
) -> tuple[Callable[[int], Tensor], int]:
    """As its trainer does: hinge on both outputs, the auxiliary reconstruction, a penalty every fourth step, and
    pictures that are augmented the oftener the fewer there are. Its discriminator scores fakes high.

    `plain` leaves penalty and augmentation out. What draws in the end is the newest generator, as in its first
    20,000 steps.
    """
    gan = lightweight(size)
    chance = 0.0 if plain else max(0.0, min(0.5, (1e5 - clock.pictures) * 3e-6))
    seen = {"prob": chance, "types": ["translation", "cutout"]}
    while clock.goes_on():
        real, latents = next(data), torch.randn(clock.batch, gan.latent_dim)
        penalised = not plain and clock.steps % 4 == 0
        with torch.no_grad():
            fake = gan.G(latents)
        real, fake = real.requires_grad_(penalised), fake.detach().requires_grad_(penalised)
        fake_out, fake_small, _ = gan.D_aug(fake, **seen)
        real_out, real_small, auxiliary = gan.D_aug(real, calc_aux_loss=True, **seen)
        pairs = (fake_out, real_out), (fake_small, real_small)
        loss = auxiliary + sum((F.relu(1 + r) + F.relu(1 - f)).mean() for f, r in pairs)
        if penalised:
            outputs = ([real_out, real_small], [fake_out, fake_small])
            gradients = [
                torch.autograd.grad([o.sum() for o in out], given, create_graph=True)[0].flatten(1)
                for out, given in zip(outputs, (real, fake), strict=True)
            ]
            loss = loss + 10 * torch.cat(gradients).norm(2, dim=1).square().mean()
        step(gan.D_opt, loss)
        out, small, _ = gan.D_aug(gan.G(torch.randn(clock.batch, gan.latent_dim)), **seen)
        step(gan.G_opt, out.mean() + small.mean())
    gan.eval()
    return lambda count: gan.G(torch.randn(count, gan.latent_dim)), parameters(gan.G, gan.D)


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Raises RuntimeError for a network that is not taught in whole: the race would be won by a mistake of ours."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if any(weight.grad is None for group in optimizer.param_groups for weight in group["params"]):
        raise RuntimeError("a part of the rival's network gets no gradient")
    optimizer.step()


def dcgan(size: int, width: int = 80, latent: int = 100) -> tuple[nn.Module, nn.Module]:
    """Radford, Metz and Chintala, "Unsupervised Representation Learning" (DCGAN), 2016, for pictures of 32 px up."""
    grids = size.bit_length() - 3  # from 4 x 4 up, without the last
    widths = [width << i for i in range(grids)][::-1]
    up: list[nn.Module] = [
        nn.ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    for i, o in pairwise(widths):
        up += [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    up += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh()]
    down: list[nn.Module] = [nn.Conv2d(3, widths[-1], 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, o in pairwise(widths[::-1]):
        down += [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]
    down += [nn.Conv2d(widths[0], 1, 4, 1, 0), nn.Flatten(0)]
    networks = nn.Sequential(*up), nn.Sequential(*down)
    for layer in (layer for network in networks for layer in network):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return networks


def train_dcgan(data: Iterator[Tensor], clock: Clock, size: int, plain: bool) -> tuple[Callable[[int], Tensor], int]:
    """Binary cross-entropy, Adam at 2e-4 with beta1 0.5; it has no penalty to leave out."""
    latent = 100
    generator, discriminator = dcgan(size, latent=latent)
    optimizers = [torch.optim.Adam(n.parameters(), 2e-4, betas=(0.5, 0.999)) for n in (discriminator, generator)]
    while clock.goes_on():
        fake = generator(torch.randn(clock.batch, latent, 1, 1))
        step(
            optimizers[0],
            F.softplus(-discriminator(next(data))).mean() + F.softplus(discriminator(fake.detach())).mean(),
        )
        step(optimizers[1], F.softplus(-discriminator(fake)).mean())
    generator.eval()
    return lambda count: generator(torch.randn(count, latent, 1, 1)), parameters(generator, discriminator)


# --- a VAE ----------------------------------------------------------------------------------------------------------


def train_pythae(data: Iterator[Tensor], clock: Clock, latent: int) -> tuple[nn.Module, int]:
    """The package's VAE with its own ResNet for 32 px; its likelihood is a normal of variance one around [0, 1]."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.cifar.resnets import Decoder_ResNet_AE_CIFAR, Encoder_ResNet_VAE_CIFAR

    config = VAEConfig(input_dim=(3, 32, 32), latent_dim=latent, reconstruction_loss="mse")
    network = VAE(config, Encoder_ResNet_VAE_CIFAR(config), Decoder_ResNet_AE_CIFAR(config))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    while clock.goes_on():
        step(optimizer, network({"data": (next(data) + 1) / 2}).loss)
    return network.eval(), parameters(network)


def posterior(network: nn.Module, test: Tensor) -> dict[str, np.ndarray]:
    """Of pictures in [-1, 1]: means, log-variances, and what one sample of each is decoded to, in [0, 1]."""
    random = torch.Generator(DEVICE).manual_seed(0)
    found: dict[str, list[Tensor]] = {"mean": [], "log_variance": [], "decoded": []}
    for part in test.split(64):
        encoded = network.encoder((part + 1) / 2)
        mean, log_variance = encoded.embedding, encoded.log_covariance
        z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=random)
        decoded = network.decoder(z)["reconstruction"]
        for name, value in (("mean", mean), ("log_variance", log_variance), ("decoded", decoded)):
            found[name].append(value)
    return {name: torch.cat(values).cpu().numpy() for name, values in found.items()}


# --- a spatial autoencoder ------------------------------------------------------------------------------------------


def train_tiny(data: Iterator[Tensor], clock: Clock, width: int = 64) -> tuple[nn.Module, int]:
    """diffusers' AutoencoderTiny at its published size, with the loss that ours has without features."""
    from diffusers import AutoencoderTiny

    network = AutoencoderTiny(
        encoder_block_out_channels=(width,) * 4, decoder_block_out_channels=(width,) * 4, latent_channels=4
    )
    optimizer = torch.optim.AdamW(network.parameters(), 8e-4, betas=(0.9, 0.99), weight_decay=1e-4)
    while clock.goes_on():
        pictures = next(data)
        rebuilt = rebuild(network, pictures)
        step(optimizer, F.l1_loss(rebuilt, pictures) + 2 * F.mse_loss(rebuilt, pictures))
    return network.eval(), parameters(network)


def rebuild(network: nn.Module, pictures: Tensor) -> Tensor:
    """Without its `forward`, which rounds the latents to bytes: nothing would teach the encoder."""
    rebuilt: Tensor = network.decoder(network.encoder(pictures))
    return rebuilt


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["lightweight-gan", "dcgan", "pythae", "autoencoder-tiny"])
    for name in ("train", "test", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--plain", action="store_true", help="without gradient penalty")
    parser.add_argument("--mirrored", action="store_true", help="half of the pictures, by chance")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_default_device(DEVICE)
    pictures = np.load(given.train, mmap_mode="r")
    data = batches(pictures, given.batch, given.mirrored)
    clock = Clock(given.seconds, given.batch, len(pictures))
    test = torch.from_numpy(np.load(given.test)).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1
    if given.kind in ("lightweight-gan", "dcgan"):
        train = train_lightweight if given.kind == "lightweight-gan" else train_dcgan
        draw, count = train(data, clock, pictures.shape[1], given.plain)
        rate = clock.images_per_second
        with torch.no_grad():
            result = {"drawn": np.concatenate([as_pixels(draw(100)) for _ in range(DRAWN // 100)])}
    else:
        network, count = train_pythae(data, clock, 64) if given.kind == "pythae" else train_tiny(data, clock)
        rate = clock.images_per_second
        with torch.no_grad():
            if given.kind == "pythae":
                result = posterior(network, test)
            else:
                result = {"rebuilt": torch.cat([rebuild(network, part) for part in test.split(32)]).cpu().numpy()}
    np.savez(given.out, **result)
    print(json.dumps({"images_per_second": rate, "parameters": count, "steps": clock.steps}))


if __name__ == "__main__":
    main()
