"""The script behind `vaezoo train`: Lightning's DDP starts its other processes by running this file again."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # the package itself, not the modules in its folder

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vaezoo import configs
from vaezoo.command_line import Parser, answer, environment, fail, take_config_dir
from vaezoo.errors import UsageError
from vaezoo.files import make_folder
from vaezoo.overrides import expanded
from vaezoo.runs import JOB
from vaezoo.sweep.done import all_over
from vaezoo.sweep.job import ADVICE, JobFailed, leading, out_of_memory, run_once
from vaezoo.sweep.slots import check_processes
from vaezoo.sweep.status import failures

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def main() -> int:
    """Train what ``sys.argv`` says; 0, or 2 after a user's error told in one line."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come to us as they are
    overrides: list[str] = []
    sweep, since = None, time.time()
    try:
        flags, overrides = _words()
        configs.install()
        if flags.multirun:
            if not flags.shows and (told := all_over(overrides)):
                print(told)
                return 0
            print("checking every value of the sweep ...", file=sys.stderr, flush=True)
            sweep = configs.check_sweep(overrides)
            make_folder("sweep_dir", sweep)
        else:
            config = configs.compose(overrides)
            _continue_in_place(config.resume)
            if any(word.startswith("run_dir=") for word in overrides) and not flags.shows:
                make_folder("run_dir", config.run_dir)
        hydra.main(version_base="1.3", config_path=str(configs.conf_dir()), config_name="train")(_job)()
    except UsageError as error:
        return _refuse(error)
    except JobFailed as error:
        print("\n".join([*(failures(sweep, since) if sweep else []), f"error: {error}"]), file=sys.stderr)
        return 1
    except (HydraException, OmegaConfBaseException) as error:
        return _refuse(configs.explain(error, overrides))
    return 0


def _words() -> tuple[argparse.Namespace, list[str]]:
    """Flags and overrides of the command line; those of no use to Hydra are taken out of it."""
    parser = Parser("vaezoo train", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("-p", "--package")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-i", "--info", const="all", nargs="?", choices=INFO)
    parser.add_argument("-cd", "--config-dir")
    flags, overrides = parser.split(take_config_dir(sys.argv[1:]))
    overrides = expanded(overrides)
    flags.shows = [
        word for name in ("cfg", "package", "info") if (v := getattr(flags, name)) for word in (f"--{name}", v)
    ]
    resolved = ["--resolve"] if flags.resolve else []
    sys.argv[1:] = [*(["--multirun"] if flags.multirun else []), *flags.shows, *resolved, *overrides]
    return flags, overrides


def _continue_in_place(resume: str | None) -> None:
    """A resumed run goes on in its own folder."""
    if resume:
        place = Path(resume)
        sys.argv.append(f"hydra.run.dir='{place if place.is_dir() else place.parent.parent}'")


def _refuse(error: UsageError) -> int:
    return fail(str(error))


def _job(config: DictConfig) -> float | None:
    """One run: of one command, or of a sweep, where it returns what a search minimises."""
    settings = HydraConfig.get()
    config = configs.finish(config, settings, settings.runtime.output_dir)
    in_sweep = settings.mode == RunMode.MULTIRUN or (Path(config.run_dir) / JOB).is_file()
    from vaezoo.interruption import Interrupted, ProcessLost

    try:
        if settings.mode == RunMode.MULTIRUN and "SLURM_PROCID" not in os.environ:
            check_processes(config.hardware, settings.launcher._target_)
        if in_sweep:
            return run_once(config)
        _single(config)
        return None
    except Interrupted as stop:
        again = "start the sweep again" if in_sweep else f"vaezoo train resume={config.run_dir}"
        print(f"{stop}; to continue: {again}", file=sys.stderr)
        if "SUBMITIT_EXECUTOR" in os.environ:
            signal.raise_signal(stop.signal)  # submitit queues the job again
        raise SystemExit(128 + stop.signal) from stop
    except ProcessLost as error:
        print(f"error: {error}; to continue: vaezoo train resume={config.run_dir}", file=sys.stderr)
        raise SystemExit(1) from error
    except UsageError as error:
        if in_sweep:
            raise JobFailed(str(error)) from None  # the other runs go on
        raise SystemExit(_refuse(error)) from error
    except Exception as error:
        about = environment(error)
        if in_sweep or about is None:
            raise
        raise SystemExit(_refuse(UsageError(about))) from error


def _single(config: DictConfig) -> None:
    from vaezoo.evaluate.results import format_results
    from vaezoo.train import train

    try:
        run = train(config)
    except Exception as error:
        if out_of_memory(error):
            print(f"out of memory: {ADVICE}", file=sys.stderr)
        raise
    if leading():
        for each in run.members or [run]:
            table = [format_results(each.results)] if each.results else []
            pictures = [f"picture: {path}" for path in sorted((each.path / "pictures").glob("*.png"))]
            print("\n".join([*table, *pictures, f"run: {each.path}"]))


if __name__ == "__main__":
    raise SystemExit(answer(main))
