"""A search with Optuna that goes on where an earlier start left it."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from vaezoo import runs
from vaezoo.sweep.done import what
from vaezoo.sweep.metric import optimized_metric


class Continue(Callback):
    """Takes up the study in the sweep's folder before Optuna's sweeper starts.

    Trials that were cut are tried again first, with the same values, so that their runs continue; ``n_trials`` counts
    the finished trials of all starts; a sampler with a seed does not repeat the draws of earlier starts.

    Args:
        drop: parameters of the preset that are not searched.
    """

    def __init__(self, drop: Sequence[str] = ()) -> None:
        self.drop = drop

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra's hook before the sweeper is made.

        Raises:
            SystemExit: another process is at this study. Hydra would make a warning of any other exception.
        """
        folder, sweeper = Path(config.hydra.sweep.dir), config.hydra.sweeper
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / "study.lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            print(f"error: {folder}: another process is at this search", file=sys.stderr)
            raise SystemExit(2) from None
        done, started = take_up(sweeper.study_name, sweeper.storage, str(sweeper.direction).rpartition(".")[2])
        with read_write(sweeper), open_dict(sweeper):
            sweeper.params = searched(sweeper.params, self.drop)
            sweeper.n_trials = max(0, sweeper.n_trials - done)
            if sweeper.sampler.get("seed") is not None:
                sweeper.sampler.seed += started

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra's hook after the last trial."""
        self.lock.release()
        print(summary(Path(config.hydra.sweep.dir)))


def searched(params: Mapping[str, Any] | None, drop: Sequence[str]) -> dict[str, Any]:
    """The parameters of a search without those that are dropped."""
    return {key: value for key, value in (params or {}).items() if key not in drop}


def summary(place: Path) -> str:
    """How the trials of a search ended: a count per state, why each pruned one ended, and the best run."""
    found = [runs.read(folder) for folder in runs.find(place)]
    counts = Counter(run.state for run in found)
    lines = [f"{len(found)} trials: " + ", ".join(f"{counts[s]} {s}" for s in runs.STATES if counts[s])]
    lines += [f"pruned: {run.path}: {run.reason}" for run in found if run.state == "pruned"]
    values = {run.path: value for run in found if (value := optimized_metric(run.path)) is not None}
    ended = [run for run in found if run.state in runs.FINAL and run.path in values]
    if ended:
        best = min(ended, key=lambda run: values[run.path])
        lines.append(f"best: {best.path}: -ELBO {values[best.path]:.2f} ({' '.join(what(best.overrides))})")
    return "\n".join(lines)


def take_up(name: str, storage: str, direction: str) -> tuple[int, int]:
    """Puts the trials of a study that were cut at the head of its queue.

    Args:
        name: of the study; it is made if there is none.
        storage: its address, e.g. ``sqlite:///sweeps/optuna/study.db``.
        direction: ``minimize`` or ``maximize``.

    Returns:
        tuple[int, int]: how many trials are finished, and how many were started.
    """
    import optuna
    from optuna.trial import TrialState

    study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return sum(trial.state == TrialState.COMPLETE for trial in trials), len(trials)
