"""The launcher for one machine: every job is a process of its own, in one of a few slots."""

from collections.abc import Sequence
from dataclasses import dataclass

from vaezoo.sweep.crew import Crew, Task
from vaezoo.sweep.launcher import TableLauncher
from vaezoo.sweep.slots import slots
from vaezoo.sweep.table import Table


class Pool(TableLauncher):
    """Runs jobs side by side on this machine, each in a fresh process, as ``hardware.slots`` says.

    A job that dies takes no other with it, a finished one is not started, and one that another process fills is left to
    it. SIGINT and SIGTERM stop the jobs, which save where they are.
    """

    def work(self, tasks: Sequence[Task], table: Table) -> None:
        """Run the tasks, several at a time."""
        Crew(tasks, slots(self.config.hardware), table.show).work()


@dataclass
class PoolConf:
    """The option ``hydra/launcher=pool``."""

    _target_: str = "hydra_plugins.vaezoo.Pool"
