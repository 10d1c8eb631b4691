"""A small classifier of the data, whose features measure how real pictures look."""

import hashlib
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vaezoo.data.datamodule import DataModule
from vaezoo.data.raw import Part
from vaezoo.data.split import Split
from vaezoo.distributions import noise
from vaezoo.files import atomic

CLASSIFIER = 6  # first key of the noise
EPOCHS, LEAST, BATCH, LR = 3, 400, 128, 1e-3  # of training; LEAST steps for small data
AT_ONCE = 500


class Classifier(nn.Module):
    """Two strided convolutions, one dense layer whose 128 units are the features, and logits of the classes.

    Args:
        event: shape of a picture ``(C, H, W)``.
        classes: number of classes.
    """

    features = 128

    def __init__(self, event: tuple[int, ...], classes: int) -> None:
        super().__init__()
        c, height, width = event
        self.body = nn.Sequential(
            nn.Conv2d(c, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * -(-height // 4) * -(-width // 4), self.features),
            nn.ReLU(),
        )
        self.logits = nn.Linear(self.features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of pictures ``[N, C, H, W]`` in [0, 1]."""
        return self.logits(self.body(x))

    @torch.no_grad()
    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[N, 128]``, double, and the most likely class, long ``[N]``, on the CPU."""
        like = self.logits.weight
        seen = [self.body(piece.to(like)) for piece in x.split(AT_ONCE)]
        return torch.cat(seen).double().cpu(), torch.cat([self.logits(h).argmax(1) for h in seen]).cpu()


def classifier(datamodule: DataModule, seed: int = 0) -> Classifier:
    """The classifier of a dataset, trained once and kept in :func:`cache`, in eval mode on the CPU.

    It sees all training examples as they are stored, grey values in [0, 1], whatever the model was trained on, so that
    the features of all models of a dataset are the same.

    Args:
        datamodule: after ``setup``, of pictures with classes.
        seed: seed of the weights and of the order.
    """
    shapes = datamodule.shapes((1,))
    train = grey(datamodule, "train")
    with noise.seeded(CLASSIFIER, seed):
        network = Classifier(shapes.event, shapes.classes)
        recipe = repr((datamodule.checksum, str(network), EPOCHS, LEAST, BATCH, LR, seed))
        file = cache() / f"classifier-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.safetensors"
        if file.is_file():
            network.load_state_dict(load_file(file))
        else:
            _train(network, train)
            with atomic(file) as draft:
                save_file(network.state_dict(), draft)
    return network.eval()


def grey(datamodule: DataModule, name: str) -> Split:
    """All of ``train`` (validation examples too) or ``test`` as stored: k/255, not binarised, no noise."""
    raw = datamodule._raw()
    part = raw.train if name == "train" else raw.test
    return Split(name, Part(part.x, part.y))


def cache() -> Path:
    """The folder of what is computed once: ``$VAEZOO_CACHE``, else ``vaezoo`` in the user's cache folder."""
    if given := os.environ.get("VAEZOO_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vaezoo"


@torch.enable_grad()
def _train(network: nn.Module, split: Split) -> None:
    """Cross-entropy of the labels that are not hidden, Adam."""
    optimizer = torch.optim.Adam(network.parameters(), LR)
    steps = max(LEAST, EPOCHS * -(-len(split) // BATCH))
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if not len(order):
            order = noise.uniform((len(split),), torch.empty(0)).argsort()
        batch, order = split.batch(order[:BATCH]), order[BATCH:]
        optimizer.zero_grad()
        F.cross_entropy(network(batch.x), batch.y, ignore_index=-1).backward()  # type: ignore[arg-type]
        optimizer.step()
