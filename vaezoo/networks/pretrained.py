"""The encoder of a run that has been trained before."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaezoo.build import WEIGHTS, load
from vaezoo.errors import UsageError
from vaezoo.networks.adapt import Adapted
from vaezoo.shapes import Shapes
from vaezoo.trust import granted
from vaezoo.variant import Variant


class Encoder(Adapted):
    """The trained encoder of a run, to be trained further or to be kept as it is.

    Its features are those that the run's own head reads: the hidden layers are taken over and the head is left behind.
    With ``code``, or where a model has no encoder apart from its code (``stacked_autoencoder``), they are the code, the
    mean of q(z|x). They are a vector unless ``latent`` is a grid.

    The weights become part of the new model and of what is saved of it; those of the run are read only when a training
    is set up. Its config.yaml and run.json, which say what the network looks like, must stay where they are.

    Args:
        shapes: sizes of the data, which must be those of the run, and the latent.
        run: folder of a finished run, from the working directory.
        code: whether the features are the code rather than the hidden layers.
        freeze: keep the weights as they are; they are then constants (buffers), which no variant trains.

    Raises:
        UsageError: the folder is not a finished run, or its model encodes other data or nothing.
    """

    def __init__(self, shapes: Shapes, run: str, code: bool = False, freeze: bool = False) -> None:
        name, complete = f"pretrained (encoder.run={run})", Path(run, WEIGHTS).is_file()
        try:
            model = load(run, weights=complete, trust=granted()).train().requires_grad_(True)
        except UsageError as error:
            raise UsageError(f"encoder.run={run}: {error}") from error
        if model.shapes.event != shapes.event:
            event, other = [*shapes.event], [*model.shapes.event]
            raise UsageError(f"encoder.run={run} encodes examples of shape {other} and the data have {event}")
        network = getattr(model, "encoder", None)
        if code or network is None:
            network = Code(model, run)
        if freeze:
            _hold(network)
        super().__init__(
            network if len(shapes.latent) == 3 else nn.Sequential(network, nn.Flatten()), shapes, "encoder", name
        )
        self.run, self.complete, self.frozen = run, complete, freeze

    def start(self, x: Tensor) -> None:
        """Does nothing: the weights are there.

        Raises:
            UsageError: they are not, for the run's file is missing.
        """
        if not self.complete:
            raise UsageError(f"encoder.run={self.run}: there is no {WEIGHTS} in it to start from")

    def train(self, mode: bool = True) -> "Encoder":
        """Train or eval mode; always eval mode if frozen."""
        super().train(mode and not self.frozen)
        return self


class Code(nn.Module):
    """The code of a trained model as a network; parameters that the code does not depend on are left behind.

    Args:
        model: has ``encode``.
        run: its folder, for messages.

    Raises:
        UsageError: the model has no code.
    """

    def __init__(self, model: Variant, run: str) -> None:
        super().__init__()
        if not hasattr(model, "encode"):
            raise UsageError(f"encoder.run={run} holds a {type(model).__name__}, which has no code")
        self.model: Any = model
        parameters = list(model.parameters())
        with torch.enable_grad():
            z = self(torch.zeros(2, *model.shapes.event).to(parameters[0]))
            gradients = torch.autograd.grad(z.sum(), parameters, allow_unused=True)
        unused = {id(p) for p, gradient in zip(parameters, gradients, strict=True) if gradient is None}
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) in unused:
                    module.register_parameter(name, None)

    def forward(self, x: Tensor) -> Tensor:
        """The code of x ``[N, *event]``, ``[N, *latent]``."""
        return self.model.encode(x)


def _hold(network: nn.Module) -> None:
    """Parameters become buffers."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
