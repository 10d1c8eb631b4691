"""The conditional VAE."""

from typing import Any, Literal

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Sohn et al., NIPS 2015, eq. 4",
    url="https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models",
    family="conditional",
    defaults={"prior": "conditional"},
    identities=("test_cvae_that_ignores_its_condition_is_the_vae", "test_conditional_nll_is_the_conditional_evidence"),
)
class CVAE(Variational):
    r"""Maximises the evidence bound of x given c, a label or a part of the picture, with a prior that knows c.

    .. math:: \mathcal L = -E_{q(z|x,c)} \log p(x|z,c) + KL(q(z|x,c)\,\|\,p(z|c)) \ge -\log p(x|c)

    In the paper c is called x, and x is called y. Encoder, decoder and prior read c; ``prior=standard`` gives the
    common model whose z is independent of c. If c never changes, that is a VAE.

    Args:
        condition: ``label``: the class, one-hot (all zeros where it is hidden); ``continuous``: y, floats of any shape,
            a picture too; ``image``: the picture with everything but ``visible`` quadrants set to 0.
        visible: quadrants that are seen, 1 (lower left), 2 (the left half) or 3 (and the upper right). The likelihood
            is that of the whole picture; the paper's, that of what is hidden, is no worse on binary and 8-bit data.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: the data do not have what ``condition`` asks for, or ``visible`` is not 1, 2 or 3.

    Source: Sohn, Lee and Yan, NIPS 2015, section 4 and, for quadrants, 5.1.
    """

    mask: Tensor

    def __init__(
        self,
        shapes: Shapes,
        condition: Literal["label", "continuous", "image"] = "label",
        visible: int = 1,
        **parts: Any,
    ) -> None:
        c = {"label": (shapes.classes,) if shapes.classes else (), "continuous": shapes.label, "image": shapes.event}
        if not c[condition] or (condition == "image" and len(shapes.event) != 3):
            needs = {"label": "labels", "continuous": "labels that are floats", "image": "pictures"}[condition]
            raise UsageError(f"variant.condition={condition} needs {needs}, and the data have none")
        if visible not in (1, 2, 3):
            raise UsageError(f"variant.visible={visible} must be 1, 2 or 3 quadrants")
        super().__init__(shapes=shapes.replace(condition=c[condition]), **parts)
        self.kind = condition
        self.register_buffer("mask", quadrants(shapes.event, visible) if condition == "image" else None, False)

    def condition(self, batch: Batch) -> Tensor:
        if self.kind == "image":
            return batch.x * self.mask
        assert batch.y is not None
        if self.kind == "continuous":
            return batch.y.to(batch.x).view(-1, *self.shapes.condition)
        return (batch.y[:, None] == torch.arange(self.shapes.classes, device=batch.y.device)).to(batch.x)

    def terms(self, batch: Batch) -> Terms:
        return self.elbo(batch.x, self.condition(batch))


def quadrants(event: tuple[int, ...], visible: int) -> Tensor:
    """1 in the lower left, then also the upper left, then also the upper right quadrant, else 0, ``[*event]``."""
    mask, (row, column) = torch.zeros(event), (event[1] // 2, event[2] // 2)
    mask[:, row if visible == 1 else 0 :, :column] = 1
    mask[:, : row if visible == 3 else 0] = 1
    return mask
