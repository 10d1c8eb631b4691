"""How real the samples of a model look to a classifier of the data, for one sampler after the other."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.evaluate.classifier import classifier, grey
from vaezoo.evaluate.distances import frechet_distance, kernel_distance, precision_recall_density_coverage
from vaezoo.evaluate.inception import InceptionDistance
from vaezoo.evaluate.mode import evaluating, on_device
from vaezoo.samplers.fit import check, draw, fit
from vaezoo.variant import Variant

QUALITY = 7  # first key of the noise
Scores = dict[str, Any]


def quality(
    model: Variant,
    datamodule: DataModule,
    samplers: Sequence[str] = ("prior",),
    n: int = 10_000,
    seed: int = 0,
    inception: bool = False,
) -> tuple[dict[str, Scores | None] | None, dict[str, str]]:
    """Scores of the samples of each sampler, in the features of :func:`vaezoo.evaluate.classifier.classifier`.

    Real are the test pictures as they are stored; samples are means of p(x|z). A conditional model is given the
    conditions of the test pictures in turn; its ``conditional_accuracy`` is the share of samples in which the
    classifier finds the label of that picture. ``floor`` holds the scores of as many training pictures.

    Args:
        model: any variant; comes back as it was.
        datamodule: after ``setup``.
        samplers: names of :mod:`vaezoo.samplers`.
        n: number of samples, and of test pictures at most; reduced to the number of training pictures.
        seed: seed of the samplers, of the draws and of the subsets.
        inception: add the FID of the Inception network, ``fid_inception``.

    Returns:
        tuple: For each sampler, and for ``floor``, its scores ``fid_clf``, ``kid_clf``, ``kid_clf_std``, ``precision``,
        ``recall``, ``density``, ``coverage``, ``conditional_accuracy`` (conditional models), ``n`` and ``n_real``; None
        where there are none, with a reason in the second value.

    Raises:
        UsageError: ``n`` is too small, a sampler is unknown, or Inception is not at hand.
    """
    shapes = datamodule.shapes((1,))
    if len(shapes.event) != 3 or not shapes.classes:
        reason = "examples are no pictures" if len(shapes.event) != 3 else "pictures have no classes"
        return None, {"quality": f"the {reason}, so there is no classifier whose features could judge samples"}
    if n < 10:
        raise UsageError(f"evaluate.samples={n} must be at least 10")
    judge = Judge(model, datamodule, n, seed, inception)
    found: dict[str, Scores | None] = {"floor": judge.floor()}
    reasons: dict[str, str] = {}
    for name in samplers:
        try:
            found[name] = judge.samples(name)
        except UsageError as error:
            found[name], reasons[f"quality.{name}"] = None, str(error)
    return found, reasons


class Judge:
    """The classifier, the real pictures and their features.

    Args:
        model, datamodule, n, seed, inception: as for :func:`quality`.
    """

    def __init__(self, model: Any, datamodule: DataModule, n: int, seed: int, inception: bool) -> None:
        self.model, self.datamodule, self.seed = model, datamodule, seed
        self.inception = InceptionDistance(model.device) if inception else None
        self.network = classifier(datamodule, seed=0).to(model.device)
        train, test = grey(datamodule, "train"), grey(datamodule, "test")
        self.n = min(n, len(train))
        self.real = test[:n].x.to(model.device)
        self.features, predicted = self.network.look(self.real)
        self.accuracy = _share(predicted, test[:n].y)
        with noise.seeded(QUALITY, seed):
            chosen = noise.uniform((len(train),), torch.empty(0)).argsort()[: self.n]
        self.train = train[chosen].x.to(model.device)

    def floor(self) -> Scores:
        """The scores of training pictures, and the accuracy of the classifier on test pictures."""
        return {**self.score(self.train)[0], "classifier_accuracy": self.accuracy}

    def samples(self, name: str) -> Scores:
        """The scores of what a sampler draws."""
        check(name, self.model)
        sampler = fit(name, self.model, self.datamodule, self.seed)
        c, y = self._conditions()
        with evaluating(self.model), noise.seeded(QUALITY, self.seed, 1):
            x = draw(self.model, self.n, sampler, c)
        scores, predicted = self.score(x.clamp(0, 1))
        if c is not None:
            scores["conditional_accuracy"] = _share(predicted, y)
        return scores

    def score(self, x: Tensor) -> tuple[Scores, Tensor]:
        """Scores of pictures ``[N, C, H, W]`` and the class of each, long ``[N]``."""
        features, predicted = self.network.look(x)
        with noise.seeded(QUALITY, self.seed, 2):
            kid = kernel_distance(self.features, features)
        scores: Scores = {
            "fid_clf": frechet_distance(self.features, features),
            "kid_clf": kid.mean,
            "kid_clf_std": kid.std,
            **precision_recall_density_coverage(self.features, features)._asdict(),
            "n": len(x),
            "n_real": len(self.real),
        }
        if self.inception:
            scores["fid_inception"] = self.inception.between(self.real, x)
        return scores, predicted

    def _conditions(self) -> tuple[Tensor | None, Tensor | None]:
        """Conditions ``[n, *condition]`` and labels ``[n]`` of the test pictures in turn, or None for neither."""
        if not self.model.shapes.condition:
            return None, None
        test = self.datamodule.split("test")
        batch = on_device(test[torch.arange(self.n) % len(test)], self.model)
        return self.model.condition(batch), batch.y


def _share(predicted: Tensor, y: Tensor | None) -> float:
    """Share of the labels that were found."""
    assert y is not None
    return (predicted == y.to(predicted)).float().mean().item()
