"""Latents from the model's own prior."""

from vaezoo.samplers.codes import Codes, Sampler


def fit(codes: Codes, seed: int = 0) -> Sampler:
    """:math:`z \\sim p(z)`; nothing is fitted."""
    return codes.model.ancestral
