"""Sentences about results that cannot be right, so that nobody takes a failed run for a poor one."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.evaluate.mean import Mean
from vaezoo.evaluate.undefined import EVALUATION
from vaezoo.variant import Variant
from vaezoo.variational import Variational

SAMPLES = 32
LEAST_SPREAD = 0.01  # share of the data's variance below which samples are all alike
MOST_ERROR = 1.1  # squared error over that of the mean example
LEAST_LOSS = 0.05  # nats of a critic's loss; at 0 it is never fooled
LEAST_RATE = 0.01  # nats
LEAST_PERPLEXITY = 1.01
MOST_NATS = 1e4  # per value, for densities


class Variance(Mean):
    """Population variance over examples, summed over dimensions: the squared error of the mean example."""

    def update(self, x: Tensor) -> None:
        """Adds x ``[B, *event]``."""
        super().update(x.flatten(1))

    def compute(self) -> Tensor:
        """The sum, ``[]``."""
        return self.variance().sum()


@torch.no_grad()
def flags(model: Variant, results: Mapping[str, Any], variance: float, batch: Batch) -> list[str]:
    """What cannot be right about the results of a model, one sentence each; none for a sound run.

    Args:
        model: any variant, in eval mode.
        results: the fields of one evaluation.
        variance: that of the data in its own unit, as the squared error is, summed over dimensions.
        batch: some of the data; the critics judge it, and samples take its conditions.
    """
    found = [*_infinite(results), *_likelihood(model, results), *_error(results, variance)]
    found += _collapse(model, results, batch)
    with noise.seeded(EVALUATION, 1):
        found += _game(model, batch)
    with noise.seeded(EVALUATION, 2):
        return found + _samples(model, batch)


def _infinite(results: Mapping[str, Any]) -> list[str]:
    spoilt = [name for name, reason in results["reasons"].items() if reason.startswith("the result is ")]
    return [f"{', '.join(spoilt)}: the result is not a finite number"] if spoilt else []


def _likelihood(model: Any, results: Mapping[str, Any]) -> list[str]:
    nll, names = results["nll"], {"binary": "binary values", "levels": "256 grey levels"}
    if nll is None:
        return []
    if model.likelihood.discrete and model.shapes.support in names:
        uniform = model.shapes.dimensions * math.log(2 if model.shapes.support == "binary" else 256)
        kind = names[model.shapes.support]
        if nll > uniform:
            return [f"the NLL of {nll:.4g} nats is above the {uniform:.4g} nats of uniformly random {kind}"]
    elif abs(nll) > MOST_NATS * model.shapes.dimensions:
        return [f"the NLL of {nll:.4g} nats is above {MOST_NATS:.0f} nats per value"]
    return []


def _error(results: Mapping[str, Any], variance: float) -> list[str]:
    error = results["squared_error"]
    if error is None or error <= MOST_ERROR * variance:
        return []
    return [
        f"reconstructions are worse than the mean example: squared error {error:.4g}, that of the mean {variance:.4g}"
    ]


def _collapse(model: Variant, results: Mapping[str, Any], batch: Batch) -> list[str]:
    found = []
    for name, value in results["measures"].items():
        if name.startswith("perplexity") and value is not None and value < LEAST_PERPLEXITY:
            found.append(f"the codes have collapsed: their {name.replace('_', ' ')} is {value:.3g}, all are the same")
    rate, active = results["rate"], results["active_units"]
    if rate is None or rate > LEAST_RATE or active != 0:
        return found
    terms = model.terms(batch)
    asked = max((float(terms._weights.get(name, 1.0)) for name in terms.rates), default=0.0) > 1
    return found if asked else [*found, f"the posterior has collapsed: rate {rate:.2g} nats, no active unit"]


def _game(model: Variant, batch: Batch) -> list[str]:
    found = []
    for stage in model.stages:
        for update in stage.updates:
            terms = stage.terms(update, batch) if update.name == "critic" else None
            if terms is not None and (loss := float(terms.loss)) < LEAST_LOSS:
                found.append(f"the critic has won its game: its loss is {loss:.2g} nats, it is hardly ever fooled")
    return found


def _samples(model: Any, batch: Batch) -> list[str]:
    variance = float(batch.x.flatten(1).var(0, correction=0).sum())
    if not isinstance(model, Variational) or not variance:
        return []
    c = model.condition(batch)
    n = SAMPLES if c is None else len(batch.x)
    spread = float(model.sample(n, c).flatten(1).var(0, correction=0).sum())
    if not spread < LEAST_SPREAD * variance:
        return []
    share = spread / variance
    return [f"all samples are nearly equal: their variance is {share:.2%} of that of the data"]
