"""What our launchers share: the jobs of a sweep as tasks, the plan in the sweep's folder, and the table."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from vaezoo import runs
from vaezoo.sweep.crew import Task
from vaezoo.sweep.job import JobFailed, queue
from vaezoo.sweep.slots import processes
from vaezoo.sweep.table import Table

ELSEWHERE = ("hydra.sweep", "hydra.launcher", "hydra.sweeper", "hydra.mode", "hydra/launcher", "hydra/sweeper")


class TableLauncher(Launcher):
    """Queues all jobs, works through them, and shows how they stand."""

    live = True  # whether a terminal shows one table that changes; otherwise a line per job

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's hook before `launch`."""
        self.context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and wait for them.

        Returns:
            list[JobReturn]: in the given order; the value is the run's `optimized_metric`.

        Raises:
            SystemExit: a signal stopped the sweep.
        """
        place = Path(self.config.hydra.sweep.dir).absolute()
        tasks = [self._task(place, list(job), initial_job_idx + k) for k, job in enumerate(job_overrides)]
        distinct = {task.place: task for task in tasks}
        for task in distinct.values():
            queue(task.place, task.overrides, task.choices, task.seed)
        with Table(place, list(distinct.values()), self.live) as table:
            self.work(list(distinct.values()), table)
        return [_return(task, distinct[task.place]) for task in tasks]

    @abstractmethod
    def work(self, tasks: Sequence[Task], table: Table) -> None:
        """Run the tasks; their fields and the table are kept up to date."""

    def compose(self, overrides: list[str], number: int) -> DictConfig:
        """The configuration of one job, with Hydra's own part."""
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        config.hydra.job.id, config.hydra.job.num = str(number), number
        return config

    def _task(self, place: Path, overrides: list[str], number: int) -> Task:
        config = self.compose(overrides, number)
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
            number=number,
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
