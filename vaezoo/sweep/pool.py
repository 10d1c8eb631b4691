"""The launcher for one machine: every job is a process of its own, in one of a few slots."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from vaezoo import runs
from vaezoo.sweep.crew import Crew, Task
from vaezoo.sweep.job import JobFailed, queue
from vaezoo.sweep.slots import processes, slots
from vaezoo.sweep.table import Table

ELSEWHERE = ("hydra.sweep", "hydra.launcher", "hydra.sweeper", "hydra.mode", "hydra/launcher", "hydra/sweeper")


class Pool(Launcher):
    """Runs jobs side by side on this machine, each in a fresh process, as ``hardware.slots`` says.

    A job that dies takes no other with it, a finished one is not started, and one that another process fills is left to
    it. SIGINT and SIGTERM stop the jobs, which save where they are.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's hook before `launch`."""
        self.config, self.loader = config, hydra_context.config_loader

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and wait for them.

        Returns:
            list[JobReturn]: in the given order; the value is the run's `optimized_metric`.

        Raises:
            SystemExit: a signal stopped the sweep.
        """
        place = Path(self.config.hydra.sweep.dir).absolute()
        tasks = [self._task(place, list(job), initial_job_idx + k) for k, job in enumerate(job_overrides)]
        distinct = list({task.place: task for task in tasks}.values())
        for task in distinct:
            queue(task.place, task.overrides, task.choices, task.seed)
        with Table(place, distinct) as table:
            Crew(distinct, slots(self.config.hardware), table.show).work()
        ended = {task.place: task for task in distinct}
        return [_return(task, ended[task.place]) for task in tasks]

    def _task(self, place: Path, overrides: list[str], number: int) -> Task:
        config = self.loader.load_sweep_config(self.config, overrides)
        config.hydra.job.id, config.hydra.job.num = str(number), number
        folder = place / config.hydra.sweep.subdir
        hydra = [text for text in self.config.hydra.overrides.hydra if not text.lstrip("+~").startswith(ELSEWHERE)]
        several = processes(config.hardware, 0) > 1 and config.hardware.strategy == "auto"
        return Task(
            folder,
            overrides,
            [*hydra, *(["hardware.strategy=ddp"] if several else [])],
            {group: name for group, name in config.hydra.runtime.choices.items() if not group.startswith("hydra/")},
            config.seed,
            config.trainer.max_epochs,
            runs.state(folder) if self._named_by_content else "queued",
        )

    @property
    def _named_by_content(self) -> bool:
        """Whether a folder's name alone says that what it holds is the job's; otherwise the job finds out."""
        sweep: Any = OmegaConf.to_container(self.config.hydra.sweep, resolve=False)
        return bool(sweep["subdir"] == "${vz_folder:}")


def _return(task: Task, ended: Task) -> JobReturn:
    job = JobReturn(overrides=task.overrides, working_dir=str(ended.place))
    if ended.state in runs.FINAL:
        job.status, job.return_value = JobStatus.COMPLETED, ended.metric
    else:
        job.status, job.return_value = JobStatus.FAILED, JobFailed(f"{ended.place}: {ended.reason or ended.state}")
    return job


@dataclass
class PoolConf:
    """The option ``hydra/launcher=pool``."""

    _target_: str = "hydra_plugins.vaezoo.Pool"
