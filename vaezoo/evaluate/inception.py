"""The distance in the features of the Inception network, where its weights are at hand."""

from typing import Any

from torch import Tensor

from vaezoo.errors import UsageError

AT_ONCE = 100


class InceptionDistance:
    """torchmetrics' FID of pictures in [0, 1], which it resizes to 299 x 299; grey ones count as three equal channels.

    Args:
        device: where to compute.

    Raises:
        UsageError: torch-fidelity is not installed, or the weights cannot be loaded.

    Source: Heusel et al., NIPS 2017 (arXiv 1706.08500); 2048 features.
    """

    def __init__(self, device: Any = "cpu") -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        try:
            metric = FrechetInceptionDistance(feature=2048, normalize=True, reset_real_features=False)
        except ModuleNotFoundError as error:
            raise UsageError(
                "evaluate.inception=true needs the package torch-fidelity, which is not installed"
            ) from error
        except (OSError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(
                f"evaluate.inception=true: the weights of Inception cannot be loaded ({reason})"
            ) from error
        self.metric = metric.to(device)

    def between(self, real: Tensor, fake: Tensor) -> float:
        """FID of two sets of pictures ``[N, C, H, W]``; more than 2048 of each are needed for a full covariance."""
        self.metric.reset()
        if not self.metric.real_features_num_samples:
            self._add(real, True)
        self._add(fake, False)
        return self.metric.compute().item()

    def _add(self, x: Tensor, real: bool) -> None:
        for piece in x.split(AT_ONCE):
            self.metric.update(piece.to(self.metric.device).expand(-1, 3, -1, -1), real=real)
