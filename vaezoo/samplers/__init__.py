"""Ways to draw latents from a trained model, most of them fitted to its codes afterwards: one file, one sampler."""

import re
from pathlib import Path


def names() -> list[str]:
    """Names of the samplers: the files of this folder that define ``fit(codes, seed)``; nothing is imported."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return [
        file.stem for file in files if re.search(r"^def fit\(codes\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
