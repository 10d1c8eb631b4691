"""A classifier on the features of an encoder, for pre-training to be judged by."""

from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import Metric

from vaezoo.autoencoder import Part
from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered
from vaezoo.evaluate.error import ClassificationError
from vaezoo.networks import mlp
from vaezoo.networks.adapt import adapt
from vaezoo.registry import register
from vaezoo.shapes import Shapes
from vaezoo.terms import Terms
from vaezoo.variant import Variant


@register(
    paper="Vincent et al., JMLR 2010, section 6",
    url="https://jmlr.org/papers/v11/vincent10a.html",
    family="deterministic",
    requires=("labels",),
    identities=(
        "test_classifier_starts_from_the_pretrained_weights",
        "test_frozen_encoder_stays_and_a_free_one_moves",
        "test_hidden_labels_do_not_count",
    ),
)
class Classifier(Variant):
    r"""Logistic regression on the features of an encoder, which is trained with it.

    .. math:: \mathcal L = -\log \mathrm{softmax}(W h(x) + b)_y

    With ``encoder=pretrained encoder.run=RUN`` the encoder is that of a trained autoencoder: this is the fine-tuning
    that unsupervised pre-training is judged by, or, with ``encoder.freeze=true``, a linear probe. Otherwise it is the
    baseline without pre-training. Examples without a label (-1) have no loss and the others weigh
    :math:`B / B_{labelled}` (over all processes), so that the batch mean is over the labelled ones.

    Args:
        shapes: what the data fix.
        encoder: ``[N, *event] -> [N, *features]``.
        base: ``optimizer`` and ``seed`` of :class:`~vaezoo.variant.Variant`.

    Raises:
        UsageError: the data have no classes.

    Source: Vincent et al., JMLR 11 (2010), sections 3.5 and 6.
    """

    uses: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(self, shapes: Shapes, encoder: Part = mlp.Encoder, **base: Any) -> None:
        super().__init__(shapes, **base)
        if shapes.classes < 2:
            raise UsageError(f"a classifier needs labels of at least 2 classes, and the data have {shapes.classes}")
        self.encoder = adapt(encoder, shapes, "encoder")
        self.head = nn.Linear(prod(self.encoder.features), shapes.classes)  # type: ignore[arg-type]

    def logits(self, x: Tensor) -> Tensor:
        """``[B, classes]``."""
        return self.head(self.encoder(x).flatten(1))

    def terms(self, batch: Batch) -> Terms:
        assert batch.y is not None
        nats = cross_entropy(self.logits(batch.x), batch.y, ignore_index=-1, reduction="none")  # 0 where hidden
        share = gathered((batch.y >= 0).to(nats)).mean().clamp(min=1 / len(nats))
        return Terms(cross_entropy=nats / share)

    def measures(self) -> dict[str, Metric]:
        return {"error": ClassificationError()}
