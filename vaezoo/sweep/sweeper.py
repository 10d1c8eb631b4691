"""The sweeper behind `-m`: which jobs there are."""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from vaezoo import runs
from vaezoo.errors import UsageError
from vaezoo.files import write
from vaezoo.sweep.composer import Composer
from vaezoo.sweep.done import over, products, what
from vaezoo.sweep.job import JobFailed, job_overrides, queue
from vaezoo.sweep.launcher import TableLauncher
from vaezoo.sweep.status import unfinished
from vaezoo.trust import check, check_links


class Jobs(Sweeper):
    """Hydra's products of comma-separated values, several of them side by side if need be.

    Args:
        params: key -> values, e.g. ``{variant.beta: "1,2,4"}``; the command line wins over them.
        lines: products that run side by side, each written as on the command line; it wins over them too.
        retry: instead of all that, the unfinished jobs in the sweep's folder.
    """

    def __init__(
        self, params: dict[str, str] | None = None, lines: list[str] | None = None, retry: bool = False
    ) -> None:
        self.params, self.lines, self.retry = params, lines, retry

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's hook before `sweep`."""
        self.master = config
        self.loader = Composer(hydra_context.config_loader)
        self.jobs_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=self.loader, callbacks=hydra_context.callbacks),
            task_function=task_function,
            config=config,
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Launch every job.

        Raises:
            JobFailed: after all others have ended, some did not.
        """
        place = Path(self.master.hydra.sweep.dir)
        jobs = list(self._again(place, arguments)) if self.retry else self._all(arguments)
        finished = over(place, self.master)
        left = [job for job in jobs if what(job) not in finished]
        if len(left) < len(jobs):
            print(f"{len(jobs) - len(left)} of {len(jobs)} jobs in {place} are finished")
        if not left:
            return []
        jobs = left
        place.mkdir(parents=True, exist_ok=True)
        write(place / "multirun.yaml", OmegaConf.to_yaml(self.master))
        if not isinstance(self.jobs_launcher, TableLauncher):
            self._queue(place, jobs)
        done = self.jobs_launcher.launch(jobs, initial_job_idx=0)
        failed = sum(_failed(job) for job in done)
        if failed:
            raise JobFailed(f"{failed} of {len(done)} jobs did not finish")
        return done

    def _queue(self, place: Path, jobs: Sequence[list[str]]) -> None:
        """Writes the plan, for launchers that do not."""
        for job in jobs:
            config = self.loader.load_sweep_config(self.master, job)
            chosen = config.hydra.runtime.choices.items()
            options = {group: name for group, name in chosen if not group.startswith("hydra/")}
            queue(place / config.hydra.sweep.subdir, job, options, config.seed)

    def _all(self, arguments: list[str]) -> list[list[str]]:
        parser = OverridesParser.create(config_loader=self.loader)
        found: dict[tuple[str, ...], None] = {}
        for line in products(self.params, self.lines, arguments):
            for job in BasicSweeper.split_arguments(parser.parse_overrides(line), None)[0]:
                found[tuple(job)] = None
        return [list(job) for job in found]

    def _again(self, place: Path, arguments: list[str]) -> Iterator[list[str]]:
        for run in unfinished(place):
            queued = job_overrides(run, self.master.trust)
            if not self.master.trust:
                check_links(run.path)
                config = self.loader.load_sweep_config(self.master, queued)
                plain: Any = OmegaConf.to_container(config, resolve=False)
                plain.pop("hydra")
                check(plain, str(run.path / runs.JOB), recorded=False)
            job = [*queued, *arguments]
            config = self.loader.load_sweep_config(self.master, job)
            if place / config.hydra.sweep.subdir != run.path:
                raise UsageError(f"{run.path} cannot run again: its configuration has changed; start its sweep again")
            yield job


def _failed(job: JobReturn) -> bool:
    if job.status != JobStatus.FAILED:
        return False
    try:
        with redirect_stderr(io.StringIO()):  # Hydra repeats the overrides there
            _ = job.return_value
    except JobFailed:
        pass  # the job has told; anything else is the launcher's own error
    return True


@dataclass
class JobsConf:
    """The option ``hydra/sweeper=jobs``."""

    _target_: str = "hydra_plugins.vaezoo.Jobs"
    params: dict[str, str] | None = None
    lines: list[str] | None = None
    retry: bool = False
