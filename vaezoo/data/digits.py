"""1797 handwritten digits of 8x8 pixels that come with scikit-learn: nothing to download."""

from pathlib import Path

import torch

from vaezoo.data.raw import Raw, shuffled


def load(root: Path) -> Raw:
    """Grey pictures ``[1, 8, 8]`` with 10 classes; 1497 for training and validation, 300 for test (split by seed 0).

    The 17 stored levels v = 0..16 are put on the nearest of the 256 levels, ``round(255 v / 16)``, so that every
    likelihood for pictures applies; bits/dim therefore refer to 256 levels.

    Source: E. Alpaydin and C. Kaynak, UCI "Optical Recognition of Handwritten Digits", 1998 (test part).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)[:, None]
    return shuffled(x, torch.from_numpy(digits.target).long(), test_size=300, name="digits")
