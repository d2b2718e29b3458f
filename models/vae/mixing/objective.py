"""What the mixing VAE descends: the bound of a picture given two others, and how alike the two drawings look."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.autoencoders.critic import Critic
from models.autoencoders.likelihood import divergence, reparameterize, with_free_bits
from models.data.pictures import Collection, EpochOrder, augment, sent, to_unit
from models.measure.features import PerceptualLoss, feature_distance, feature_statistics, statistics_distance
from models.training.run import Run
from models.training.schedule import step_generator
from models.vae.mixing.network import MixingVAE, Posterior
from models.vae.mixing.pairs import Pairs
from models.vae.mixing.spec import MixingTraining
from models.vae.mixing.style_classifier import StyleClassifier

SHIFT = 2  # pixels, at most
OF_PRIOR = 0.5  # how often a picture's style is drawn from its label's prior
LOGGED = (
    "reconstruction_nats",
    "kl_content_nats",
    "kl_style_nats",
    "perceptual",
    "feature_statistics",
    "style_missed",
    "style_unseen",
    "loss",
    "adversarial",
)


@dataclass
class Step:
    """What a step looks at: (B, 3, H, W) each, the numbers of the styles, noise for both latents, and whose style is
    drawn from the prior of its label, (B, 1)."""

    wanted: Tensor
    content: Tensor
    style: Tensor
    labels: Tensor
    content_noise: Tensor
    style_noise: Tensor
    of_prior: Tensor

    def share(self, rows: slice, device: torch.device) -> Step:
        """Some of it, on the device."""
        pictures = (
            part[rows].contiguous(memory_format=torch.channels_last) for part in (self.wanted, self.content, self.style)
        )
        others = (self.labels, self.content_noise, self.style_noise, self.of_prior)
        rest = (sent(part[rows], device) for part in others)
        return Step(*pictures, *rest)


def draw_step(
    data: Collection,
    pairs: Pairs,
    params: MixingTraining,
    order: EpochOrder,
    step: int,
    run: Run,
    labels: Tensor,
) -> Step:
    random = step_generator(run.seed, step)
    chosen = order.at(step)
    contents, styles = pairs.partners(chosen, random)
    wanted, content, style = (to_unit(data.pictures(rows, run.device)) for rows in (chosen, contents, styles))
    # The wanted picture and that of its content are moved alike.
    may = data.mirrorable[chosen] & data.mirrorable[contents]
    wanted, content = augment(torch.cat([wanted, content], 1), random, may, SHIFT).chunk(2, 1)
    network = params.network
    side = network.size // 8
    return Step(
        wanted,
        content,
        style,
        labels[chosen],
        torch.randn(len(wanted), network.content, side, side, generator=random),
        torch.randn(len(wanted), network.style, generator=random),
        torch.rand(len(wanted), 1, generator=random) < OF_PRIOR,
    )


@dataclass
class Weights:
    """Of the parts of the loss, at one step."""

    beta: float
    late: float  # in [0, 1], of the losses that join late
    adversarial: float


def losses(
    network: MixingVAE,
    style_classifier: StyleClassifier,
    perceptual: PerceptualLoss,
    critic: Critic,
    seen: Step,
    params: MixingTraining,
    weights: Weights,
    whole: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss to descend, means as LOGGED, drawings (B, 3, H, W)); `whole`: divergences of the whole batch."""
    content, style = network.content(seen.content), network.style(seen.style)
    prior = network.priors[seen.labels]
    of_style = reparameterize(style[0], style[1], seen.style_noise)
    styled = torch.where(seen.of_prior, prior + seen.style_noise, of_style)
    made = network.decoder(reparameterize(content[0], content[1], seen.content_noise), styled)

    reconstruction = -network.likelihood.log_prob(seen.wanted, made).mean()
    divergences = all_divergences(content, style, prior)
    bound = reconstruction + weights.beta * with_free_bits(divergences, params.free_bits, whole)
    maps = perceptual.maps(made, seen.wanted)
    statistics = feature_statistics(maps)
    features, style_distance = feature_distance(maps), statistics_distance(statistics)
    unseen, classifier_loss = style_classifier(statistics, seen.labels)
    missed = F.cross_entropy(network.label_scores(style[0]), seen.labels)
    adversarial_loss = features.new_zeros(())
    if weights.adversarial:
        adversarial_loss = critic.adversarial_loss(seen.wanted, made, seen.labels)

    loss = bound / made[0].numel() + params.perceptual_weight * features + params.label_weight * missed
    loss = loss + weights.adversarial * adversarial_loss
    loss = loss + weights.late * (params.statistics_weight * style_distance + params.classifier_weight * unseen)
    content_kl, style_kl = divergences.mean(0).split([divergences.size(1) - prior.size(1), prior.size(1)])
    logged = [reconstruction, content_kl.sum(), style_kl.sum(), features, style_distance, missed, unseen, loss]
    return loss + classifier_loss, torch.stack([*logged, adversarial_loss]), made


def all_divergences(content: Posterior, style: Posterior, prior: Tensor) -> Tensor:
    """(B, numbers of both latents) nats; `prior` (B, style) are the means of the styles' priors."""
    mean, log_variance = style
    return torch.cat([divergence(*content).flatten(1), divergence(mean - prior, log_variance)], 1)


def divergences_of(network: MixingVAE, batch: Step, device: torch.device, rows: slice) -> Tensor:
    seen = batch.share(rows, device)
    return all_divergences(network.content(seen.content), network.style(seen.style), network.priors[seen.labels])
