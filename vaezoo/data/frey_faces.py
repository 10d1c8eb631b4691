"""Frey Faces: 1965 frames of one face."""

from pathlib import Path

import numpy as np
import torch

from vaezoo.data.raw import Raw, shuffled
from vaezoo.errors import UsageError

URL = "https://cs.nyu.edu/~roweis/data/frey_rawface.mat"


def load(root: Path) -> Raw:
    """Grey pictures ``[1, 28, 20]`` without labels; 1765 for training and validation, 200 for test (split by seed 0).

    Raises:
        UsageError: neither ``root/FreyFaces/freyfaces.npy`` nor ``root/FreyFaces/frey_rawface.mat`` can be read.

    Source: B. Frey and S. Roweis; used by Kingma and Welling, ICLR 2014.
    """
    file, original = root / "FreyFaces" / "freyfaces.npy", root / "FreyFaces" / "frey_rawface.mat"
    if file.exists():
        frames = np.load(file)
    elif original.exists():
        from scipy.io import loadmat

        frames = loadmat(original)["ff"].T.reshape(-1, 28, 20)
    else:
        raise UsageError(f"frey_faces is not in {file.parent}: put frey_rawface.mat there, known from {URL}")
    if frames.shape != (1965, 28, 20) or frames.dtype != np.uint8:
        raise UsageError(f"{file.parent} holds {frames.dtype} {frames.shape}, not uint8 (1965, 28, 20)")
    return shuffled(torch.from_numpy(frames)[:, None], None, test_size=200, name="frey_faces")
