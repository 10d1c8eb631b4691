"""The codes that a trained model gives to the training examples."""

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from vaezoo.data.split import Split
from vaezoo.errors import UsageError
from vaezoo.evaluate.mode import on_device
from vaezoo.variational import Variational

Sampler = Callable[[int], Tensor]  # n to latents [n, *latent]
PIECE = 500  # examples encoded at once
MOST = 512  # values in a code to which densities are fitted


class Codes:
    """Samples of q(z|x) for the training examples, one each; a deterministic code is its own sample.

    Args:
        model: any variant that encodes and decodes, in eval mode.
        split: the training examples.
        sampler: name of the sampler that wants them, for messages.
    """

    def __init__(self, model: Any, split: Split, sampler: str = "mixture") -> None:
        self.model, self.split, self.sampler = model, split, sampler

    def of(self, index: Tensor) -> Tensor:
        """The codes of these examples, drawn anew, ``[n, *latent]``."""
        x, model = on_device(self.split[index], self.model).x, self.model
        if isinstance(model, Variational):
            return model.joined(model.latents(x))
        return model.q(x).sample() if hasattr(model, "q") else model.encode(x)

    @cached_property
    def flat(self) -> Tensor:
        """The codes of all examples as vectors, ``[N, D]`` in single precision, where the model is.

        Raises:
            UsageError: the codes do not live in R^D, or D is too large for a density.
        """
        support = getattr(getattr(self.model, "posterior", None), "support", "real")
        if support != "real":
            raise UsageError(
                f"sampler={self.sampler} fits a density on R^d, and these latents live on {support}:"
                " use sampler=prior or sampler=aggregate"
            )
        codes = torch.cat([self.of(index) for index in torch.arange(len(self.split)).split(PIECE)])
        self.shape = codes.shape[1:]
        if prod(self.shape) > MOST:
            raise UsageError(
                f"sampler={self.sampler} fits codes of at most {MOST} values, and latent={list(self.shape)} has"
                f" {prod(self.shape)}: use sampler=aggregate"
            )
        return codes.flatten(1).float()

    def shaped(self, z: Tensor) -> Tensor:
        """Vectors ``[n, D]`` as latents ``[n, *latent]`` in the precision of the model."""
        return z.unflatten(1, self.shape).to(next(self.model.parameters()).dtype)
