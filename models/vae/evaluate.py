"""Figures of a VAE: the bound on held-out pictures, what it reconstructs, and how good its pictures from chance are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.likelihood import divergence
from models.data.pictures import Collection, Indices, label_names, labels_of, spread, to_unit
from models.measure.chance import evaluate_chance
from models.measure.effort import Effort, held_out
from models.measure.likeness import rounded
from models.measure.metrics import psnr
from models.parts.sentences import SentenceEncoder
from models.vae.bounds import weighted_bounds
from models.vae.network import VAE
from models.vae.sample import load, load_vae
from models.vae.spec import DrawnFromPrior

MEASURED = 512  # pictures
ACTIVE = 0.01  # variance of the means of a latent in use (Burda et al., 2016)


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet of pictures from chance). Where too few are held out, training pictures are measured."""
    network, _ = load_vae(folder, torch.device("cpu"))
    apart = held_out(data)
    chosen = spread(apart if len(apart) else data.indices("train", recoloured=False), MEASURED)
    drawn, sheet = evaluate_chance(
        load(folder, torch.device("cpu")), DrawnFromPrior(temperature=1.0), DrawnFromPrior(), data, effort.part(0.5)
    )
    if not effort.is_worth_it:
        return {}, sheet
    found = {**bounds(network, to_unit(data.pictures(chosen)), effort.part(0.5)), **drawn}
    if network.config.text and len(apart):
        found["nats_that_captions_tell"] = captions_tell(network, data, chosen)
    return found, sheet


@torch.no_grad()
def captions_tell(network: VAE, data: Collection, chosen: Indices) -> float:
    """Nats by which the latents of held-out pictures are likelier given their first captions than given nothing."""
    sentences = torch.from_numpy(SentenceEncoder().encode([data.items[i]["captions"][0] for i in chosen]))
    latents = torch.cat([network.encoder(part)[0] for part in to_unit(data.pictures(chosen)).split(64)])
    styles = labels_of(data, chosen, label_names(data)) if network.config.classes else None
    told, untold = network.prior.log_prob(latents, styles, sentences), network.prior.log_prob(latents, styles)
    return rounded(float((told - untold).mean()))


@torch.no_grad()
def bounds(network: VAE, pictures: Tensor, effort: Effort) -> dict[str, Any]:
    """Importance-weighted bounds in bits a number, and the two parts of the ELBO in nats a picture."""
    encoded = [network.encoder(part) for part in pictures.split(64)]
    means, log_variances = (torch.cat(part) for part in zip(*encoded, strict=True))
    rebuilt = torch.cat([network.decoder(part) for part in means.split(64)])
    divergences = divergence(means, log_variances)
    return {
        **weighted_bounds(network, pictures, effort),
        "kl_nats": rounded(float(divergences.sum(1).mean())),
        "latents_in_use": int((means.var(0) > ACTIVE).sum()),
        "psnr_reconstruction_db": rounded(psnr(rebuilt, pictures)),
    }
