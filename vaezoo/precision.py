"""Full precision without the steps of Lightning's that do nothing in it."""

from contextlib import AbstractContextManager, nullcontext

from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

AROUND_BACKWARD = ("on_before_backward", "on_after_backward")


class FullPrecision(Precision):
    """Lightning's ``32-true``, in which the two hooks around a backward pass run only where somebody defines them."""

    _nothing = nullcontext()
    _heard: bool | None = None  # whether somebody defines the hooks

    def pre_backward(self, tensor: Tensor, module: LightningModule) -> Tensor:  # type: ignore[override]
        if self._heard is None:
            callbacks: list[Callback] = module.trainer.callbacks  # type: ignore[attr-defined]
            listeners = [(module, LightningModule), *((callback, Callback) for callback in callbacks)]
            pairs = [(hook, *listener) for hook in AROUND_BACKWARD for listener in listeners]
            self._heard = any(is_overridden(*pair) for pair in pairs)
        return super().pre_backward(tensor, module) if self._heard else tensor

    def post_backward(self, tensor: Tensor, module: LightningModule) -> Tensor:  # type: ignore[override]
        return super().post_backward(tensor, module) if self._heard else tensor.detach()

    def train_step_context(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._nothing
