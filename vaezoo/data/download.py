"""Datasets that torchvision downloads and verifies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaezoo.errors import UsageError


def torchvision(name: str, root: Path, files: str, splits: Sequence[dict[str, Any]]) -> list[Any]:
    """One torchvision dataset per element of ``splits``, downloaded (checksums verified) where it is missing.

    Args:
        name: class in ``torchvision.datasets``.
        root: folder of all data.
        files: where below ``root`` the files are expected, for the error message.
        splits: arguments that choose each split.

    Raises:
        UsageError: the files are missing and cannot be downloaded.
    """
    from torchvision import datasets

    try:
        return [getattr(datasets, name)(root, download=True, **split) for split in splits]
    except (OSError, RuntimeError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"{name} is not in {root / files} and could not be downloaded ({reason}): "
            "put its files there, or point dataset.root at the folder that holds it"
        ) from error
