"""The launcher without a pool: one job after the other, in this process."""

import io
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass

from hydra.core.utils import configure_log, run_job

from vaezoo import runs
from vaezoo.sweep.crew import Task
from vaezoo.sweep.job import JobFailed
from vaezoo.sweep.launcher import TableLauncher
from vaezoo.sweep.table import Table


class InTurn(TableLauncher):
    """Runs jobs one after the other; one that fails does not stop the others."""

    live = False  # a job shows its own progress

    def work(self, tasks: Sequence[Task], table: Table) -> None:
        """Run the tasks that are not finished."""
        for task in tasks:
            if task.state in runs.FINAL:
                task.look()
                continue
            task.state, task.started = "running", time.monotonic()
            table.start(task)
            try:
                self._run(task)
            except BaseException:
                task.state, task.reason = runs.state(task.place), runs.read(task.place).reason
                raise
            finally:
                task.seconds = time.monotonic() - task.started
                task.look()
            table.show()

    def _run(self, task: Task) -> None:
        job = run_job(
            hydra_context=self.context,
            task_function=self.task_function,
            config=self.compose(task.overrides, task.number),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        try:
            with redirect_stderr(io.StringIO()):  # Hydra repeats the overrides there
                _ = job.return_value
            task.state, task.reason = runs.state(task.place), runs.read(task.place).reason
        except JobFailed as error:  # anything else is not the job's fault
            task.state, task.reason = "failed", str(error).removeprefix(f"{task.place}: ")


@dataclass
class InTurnConf:
    """The option ``hydra/launcher=in_turn``."""

    _target_: str = "hydra_plugins.vaezoo.InTurn"
