"""`make bench ARGS=peers`: three races, each on the same pictures for the same minutes, one after another.

MINUTES says how long each contestant trains (4), DATASETS where the prepared collections are (data/datasets). Ours
measures itself and saves within its minutes; the rivals only train.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.table import Table
from torch import Tensor

from benchmarks.peers.environment import python
from models.autoencoders.load import load as load_spatial
from models.autoencoders.train import reconstruct
from models.data.pictures import Collection, open_collection, spread, to_unit
from models.gan.network import discriminator_of, generator_of
from models.gan.sample import load as load_gan
from models.gan.spec import GANConfig, UnconditionalImage
from models.measure.likeness import likeness
from models.measure.metrics import psnr
from models.vae.sample import load_vae
from tests.studio import ROOT

MINUTES = float(os.environ.get("MINUTES", "4"))
DATASETS = Path(os.environ.get("DATASETS", ROOT / "data" / "datasets"))
RATED_SECONDS = 60.0  # for a race that only counts pictures a second
BATCH, DRAWN, TESTED = 32, 1000, 2000
Found = dict[str, Any]
# As many weights as the rival has, most of them where there are few cells, as in its.
VAE_SHAPE = {"patch": 4, "width": 64, "growth": 3, "max_width": 184, "blocks": 1, "size": 32, "latent": 64}


def train_ours(
    folder: Path, family: str, collection: str, minutes: float, batch: int = BATCH, **params: Any
) -> tuple[Path, Found]:
    """By the studio's own training; returns (model, rate and size). Raises ValueError when nothing was logged."""
    folder.mkdir()
    recipe = {"family": family, "collection": collection, "steps": 10_000_000, "minutes": minutes, "evaluate": False}
    (folder / "recipe.json").write_text(json.dumps({**recipe, "params": {"batch_size": batch, **params}}))
    command = [sys.executable, "-m", "models.training.process", str(folder / "recipe.json"), str(folder)]
    subprocess.run([*command, "--datasets", str(DATASETS)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    card = json.loads((folder / "model" / "card.json").read_text())
    if not rates:
        raise ValueError(f"{family} logged nothing in {minutes:g} minutes")
    rate = float(np.median(rates[1:] or rates))  # the first is of a cold start
    return folder / "model", {"images_per_second": rate, "steps": card["steps"], "parameters": card["parameters"]}


def train_rival(kind: str, data: Collection, minutes: float, *options: str) -> tuple[Found, Found]:
    """In its own environment; returns (what it made, rate and size)."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        held_out = spread(data.indices(*data.held_out[:1], recoloured=False), TESTED)
        np.save(place / "train.npy", data.images[data.indices("train")])
        np.save(place / "test.npy", data.images[held_out])
        files = [str(place / name) for name in ("train.npy", "test.npy", "out.npz")]
        script = str(Path(__file__).parent / "rivals.py")
        limits = ["--seconds", str(60 * minutes), "--batch", str(BATCH)]
        command = ["nice", "-n", "10", str(python()), script, kind, *files, *limits, *options]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        with np.load(place / "out.npz") as made:
            return dict(made), json.loads(done.stdout.splitlines()[-1])


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} times"


# --- GANs -----------------------------------------------------------------------------------------------------------


def gans(table: Table, place: Path) -> None:
    """Pictures a second with hinge and no penalty; quality at equal minutes with each one's own recipe."""
    rated: dict[str, float] = {}
    for name in ("fashion-mnist", "pixel-faces"):
        data = open_collection(DATASETS / name)
        plain = {"objective": "hinge", "gamma": 0.0, "augmentation": "none", "labels": False}
        if not rated:
            _, said = train_ours(place / "plain", "gan", name, RATED_SECONDS / 60, **plain)
            rated["ours"] = said["images_per_second"]
            sizes = [f"ours {millions(size_of_players())}"]
            for kind in ("dcgan", "lightweight-gan"):
                _, said = train_rival(kind, data, RATED_SECONDS / 60, "--plain")
                rated[kind] = said["images_per_second"]
                sizes.append(f"{kind} {millions(said['parameters'])}")
            shown = ", ".join(f"{kind} {ratio(rated['ours'], rate)}" for kind, rate in rated.items() if kind != "ours")
            title = f"GAN, no penalty: our pictures a second over those of ({', '.join(sizes)})"
            table.add_row(title, shown, "ahead of both")
        model, said = train_ours(
            place / f"gan-{name}",
            "gan",
            name,
            MINUTES,
            labels=False,
            penalty_every=8,
            augmentation="none",
        )
        drawn = load_gan(model, torch.device("cpu")).pictures(UnconditionalImage(truncation=4), DRAWN)
        add_gan(table, f"{name}, ours", likeness(drawn, data), said["images_per_second"])
        for kind in ("dcgan", "lightweight-gan"):
            made, said = train_rival(kind, data, MINUTES)
            pictures = torch.from_numpy(made["drawn"]).permute(0, 3, 1, 2)
            add_gan(table, f"{name}, {kind}", likeness(pictures, data), said["images_per_second"])


def size_of_players() -> int:
    """Of both."""
    shape = GANConfig()
    players = (generator_of(shape), discriminator_of(shape))
    return sum(weight.numel() for player in players for weight in player.parameters())


def add_gan(table: Table, title: str, found: Found, rate: float) -> None:
    distance = found["kernel_distance_x1000"]
    text = f"{distance['drawn']:.3f} (real {distance['real']:.3f})"
    text += f", precision {found['precision']:.2f}, recall {found['recall']:.2f}, {rate:.0f} pictures/s"
    table.add_row(f"GAN after {MINUTES:g} min: kernel distance x 1000, {title}", text, "less than the others")


# --- VAEs -----------------------------------------------------------------------------------------------------------


def vaes(table: Table, place: Path) -> None:
    """One likelihood for both, a normal around [0, 1] with all its constants, of variance one as pythae trains with it,
    and of the variance that suits each best; one judge for both."""
    data = open_collection(DATASETS / "fashion-mnist")
    common = {
        "network": {**VAE_SHAPE, "likelihood": "gaussian"},
        "labels": False,
        "free_bits": 0.0,
        "perceptual_weight": 0.0,
        "schedule": "constant",
    }
    test = to_unit(data.pictures(spread(data.indices("held_out"), TESTED)))
    made, theirs = train_rival("pythae", data, MINUTES, "--mirrored")  # as ours
    rows = {"pythae": (bound(made, test, 1.0), best_bound(made, test), theirs)}
    for name, scale in (("ours, variance one", 2.0), ("ours, variance learnt", None)):
        model, said = train_ours(place / name, "vae", "fashion-mnist", MINUTES, **common, scale=scale)
        network, _ = load_vae(model, torch.device("cpu"))
        found = posterior(network, test)
        rows[name] = (bound(found, test, 1.0), best_bound(found, test), said)
    for name, (one, best, said) in rows.items():
        text = f"{one:.1f} nats; with the best variance {best:.0f} nats; {said['images_per_second']:.0f} pictures/s"
        text += f"; {millions(said['parameters'])}"
        table.add_row(f"VAE after {MINUTES:g} min: test ELBO of Fashion-MNIST, {name}", text, "ours is higher")


@torch.no_grad()
def posterior(network: Any, test: Tensor) -> Found:
    """As the rival's: means, log-variances, and what one sample of each is decoded to, in [0, 1]."""
    random = torch.Generator().manual_seed(0)
    found: dict[str, list[Tensor]] = {"mean": [], "log_variance": [], "decoded": []}
    for part in test.split(64):
        mean, log_variance = network.encoder(part)
        decoded = network.decoder(mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=random))
        for name, value in (("mean", mean), ("log_variance", log_variance), ("decoded", (decoded + 1) / 2)):
            found[name].append(value)
    return {name: torch.cat(values).numpy() for name, values in found.items()}


def errors_of(found: Found, test: Tensor) -> npt.NDArray[np.float64]:
    """(N,) summed squared error in [0, 1]."""
    return np.square(found["decoded"].astype(float) - ((test + 1) / 2).numpy()).reshape(len(test), -1).sum(1)


def bound(found: Found, test: Tensor, variance: float) -> float:
    """Mean over pictures of the evidence lower bound in nats, of densities over [0, 1]."""
    numbers = test[0].numel()
    likelihood = -0.5 * errors_of(found, test) / variance - 0.5 * numbers * math.log(2 * math.pi * variance)
    mean, log_variance = found["mean"].astype(float), found["log_variance"].astype(float)
    divergence = 0.5 * (np.square(mean) + np.exp(log_variance) - 1 - log_variance).sum(1)
    return float((likelihood - divergence).mean())


def best_bound(found: Found, test: Tensor) -> float:
    """With the variance that is best for half of the pictures, of the other half."""
    half = len(test) // 2
    first = {name: rows[:half] for name, rows in found.items()}
    second = {name: rows[half:] for name, rows in found.items()}
    return bound(second, test[half:], float(errors_of(first, test[:half]).mean() / test[0].numel()))


# --- autoencoders with a latent grid --------------------------------------------------------------------------------


def autoencoders(table: Table, place: Path) -> None:
    """Equal size, loss and minutes, an eighth of the side, four channels."""
    data = open_collection(DATASETS / "emoji")
    test = to_unit(data.pictures(spread(data.indices(*data.held_out[:1], recoloured=False), TESTED)))
    made, theirs = train_rival("autoencoder-tiny", data, MINUTES)
    shape = {"widths": [176, 104, 48, 24]}
    model, said = train_ours(
        place / "kl", "kl-autoencoder", "emoji", MINUTES, network=shape, perceptual_weight=0.0, kl_weight=1e-6
    )
    ours = psnr(reconstruct(load_spatial(model, torch.device("cpu")), test, 32), test)
    rival = psnr(torch.from_numpy(made["rebuilt"]), test)
    sizes = " and ".join(millions(found["parameters"]) for found in (said, theirs))
    text = f"{ours:.2f} dB against {rival:.2f} dB of AutoencoderTiny ({sizes})"
    table.add_row(f"autoencoder after {MINUTES:g} min: PSNR of held-out emoji", text, "ahead")
    text = ratio(said["images_per_second"], theirs["images_per_second"])
    table.add_row("autoencoder: our pictures a second over AutoencoderTiny's", text, "ahead")


RACES = {"gans": gans, "vaes": vaes, "autoencoders": autoencoders}


def peers(table: Table) -> None:
    """All races, or those of RACES=gans,vaes,autoencoders."""
    for name in os.environ.get("RACES", ",".join(RACES)).split(","):
        with tempfile.TemporaryDirectory() as temporary:
            RACES[name](table, Path(temporary))
