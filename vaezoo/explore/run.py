"""A run's folder as something to explore."""

from pathlib import Path

from vaezoo import runs
from vaezoo.build import load, load_data
from vaezoo.explore.explorer import Explorer


def open_run(run_dir: Path, data_dir: Path | None = None, trust: bool = False) -> Explorer:
    """The explorer of a finished run.

    Args:
        run_dir: the run's folder.
        data_dir: the folder of all data; None takes the one that the run was trained with.
        trust: as in :func:`vaezoo.build.load`.

    Raises:
        UsageError: the folder is not a finished run, or the data are not where they should be.
    """
    model, data = load(run_dir, trust=trust), load_data(run_dir, data_dir, trust=trust)
    record = runs.read(run_dir)
    card = getattr(type(model), "card", None)
    about = {
        "run": run_dir.resolve().name,
        "variant": record.variant,
        "dataset": record.dataset,
        "likelihood": record.likelihood,
        "paper": card.paper if card else "",
        "url": card.url if card else "",
    }
    return Explorer(model, data, about)
