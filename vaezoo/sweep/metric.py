"""The one number by which a search judges a run."""

import math
import os

from vaezoo import runs

SIGNS = {"val/elbo": -1, "val/distortion": 1, "val/loss": 1}


def optimized_metric(path: str | os.PathLike) -> float | None:
    """The smallest validation -ELBO at weight 1 (distortion + rate) over the epochs so far, in nats per example.

    It is comparable between variants of one dataset and likelihood. A model without a rate gives its distortion; one
    without a distortion, its loss.

    Args:
        path: a run's folder.

    Returns:
        float | None: None where metrics.csv has no validation yet.
    """
    columns = runs.columns(path)
    for name, sign in SIGNS.items():
        values = [sign * value for value in columns.get(name, ()) if value is not None and not math.isnan(value)]
        if values:
            return min(values)
    return None
