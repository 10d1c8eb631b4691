"""The deep autoencoder with tied weights, trained layer by layer."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn

from vaezoo.batch import Batch
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.networks.layers import activation_layer
from vaezoo.networks.tied import TiedLayer
from vaezoo.programme import Stage, Update
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variant import Variant


@register(
    paper="Vincent et al., JMLR 2010, section 3.5",
    url="https://jmlr.org/papers/v11/vincent10a.html",
    family="deterministic",
    identities=("test_greedy_stage_moves_its_own_layer_only", "test_unrolled_stack_is_the_composition_of_its_layers"),
)
class StackedAutoencoder(Variant):
    r"""Trains each layer as an autoencoder of the codes below it, then the unrolled stack as a whole.

    .. math:: \mathcal L_l = -\log \mathcal N(h_{l-1};\, g_l(f_l(h_{l-1})),\, I),\quad h_l = f_l(h_{l-1}),\ h_0 = x

    The decoder's matrices are the transposes of the encoder's; the biases are its own. The code is linear, the other
    units are ``activation``; data in [0, 1] are reconstructed through a sigmoid.

    Args:
        hidden: widths of the layers below the code.
        activation: the hidden units, e.g. sigmoid or relu.
        greedy: share of the epochs given to each layer, relative to 1 for the fine-tuning, > 0.
        base: ``shapes``, ``optimizer`` and ``seed`` of :class:`~vaezoo.variant.Variant`.

    Source: Vincent et al., JMLR 11 (2010), section 3.5.
    """

    def __init__(
        self, hidden: tuple[int, ...] = (500, 250), activation: str = "relu", greedy: float = 0.1, **base: Any
    ) -> None:
        super().__init__(**base)
        self.greedy = greedy
        widths = [self.shapes.dimensions, *hidden, prod(self.shapes.latent)]
        codes = [activation_layer(activation) for _ in hidden] + [nn.Identity()]
        outputs = [nn.Identity() if self.shapes.support == "real" else nn.Sigmoid(), *codes[:-1]]
        self.layers: Any = nn.ModuleList(map(TiedLayer, widths[:-1], widths[1:], codes, outputs))

    def programme(self) -> Sequence[Stage]:
        steps = [Update("layer", partial(self.layer_terms, k=k), [layer]) for k, layer in enumerate(self.layers)]
        layers = [Stage(f"layer {k + 1}", [step], self.greedy) for k, step in enumerate(steps)]
        return [*layers, Stage("fine-tuning", [Update("stack", self.terms, [self])])]

    def layer_terms(self, batch: Batch, k: int) -> Terms:
        """Distortion of layer k on the codes below it, ``[B]`` nats."""
        h, layer = self.encode(batch.x, depth=k), self.layers[k]
        return Terms(distortion=-DiagonalNormal(layer.back(layer(h)), h.new_zeros(())).log_prob(h))

    def terms(self, batch: Batch) -> Terms:
        return Terms(distortion=-self.decode(self.encode(batch.x)).log_prob(batch.x))

    def encode(self, x: Tensor, c: None = None, depth: int | None = None) -> Tensor:
        """The code after ``depth`` layers, by default after all of them, ``[B, width]``."""
        h = x.flatten(1)
        for layer in self.layers[:depth]:
            h = layer(h)
        return h

    def decode(self, z: Tensor, c: None = None) -> DiagonalNormal:
        """N(x; g_1(...g_L(z)), I)."""
        for layer in reversed(self.layers):
            z = layer.back(z)
        return DiagonalNormal(z.reshape(-1, *self.shapes.event), z.new_zeros(()), event_dims=len(self.shapes.event))

    def reconstruct(self, x: Tensor, c: None = None) -> Tensor:
        return self.decode(self.encode(x)).mean
