"""The script behind `vaezoo train`: Lightning's DDP starts its other processes by running this file again."""

import os
import sys
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
from vaezoo.errors import UsageError


def main() -> int:
    """Train what ``sys.argv`` says; 0, or 2 after a user's error told in one line."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come to us as they are
    flags = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    overrides = [argument for argument in sys.argv[1:] if "=" in argument and not argument.startswith("-")]
    try:
        configs.install()
        if not {"-m", "--multirun"}.isdisjoint(flags):
            configs.check_sweep(overrides)
        elif not flags:
            _continue_in_place(configs.compose(sys.argv[1:]).resume)
        hydra.main(version_base="1.3", config_path=str(configs.conf_dir()), config_name="train")(_job)()
    except UsageError as error:
        return _refuse(error)
    except (HydraException, OmegaConfBaseException) as error:
        return _refuse(configs.explain(error, overrides))
    return 0


def _continue_in_place(resume: str | None) -> None:
    """A resumed run goes on in its own folder."""
    if resume:
        place = Path(resume)
        sys.argv.append(f"hydra.run.dir='{place if place.is_dir() else place.parent.parent}'")


def _refuse(error: UsageError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _job(config: DictConfig) -> None:
    """One run: of one command, or of a sweep."""
    settings = HydraConfig.get()
    in_sweep = settings.mode == RunMode.MULTIRUN
    config = configs.finish(config, settings, settings.runtime.output_dir)
    from vaezoo.callbacks.checkpoints import Interrupted
    from vaezoo.evaluate.results import format_results
    from vaezoo.train import train

    try:
        if in_sweep and config.hardware.strategy == "ddp" and "SLURM_PROCID" not in os.environ:
            raise UsageError("hardware.strategy=ddp works in single runs only: each process would start its own sweep")
        run = train(config)
    except Interrupted as stop:
        print(f"{stop}; continue with: vaezoo train resume={config.run_dir}", file=sys.stderr)
        raise SystemExit(128 + stop.signal) from stop
    except UsageError as error:
        if in_sweep:
            raise  # the other runs go on
        raise SystemExit(_refuse(error)) from error
    if os.environ.get("LOCAL_RANK", "0") == "0":
        table = [format_results(run.results)] if run.results else []
        pictures = [f"picture: {path}" for path in sorted((run.path / "pictures").glob("*.png"))]
        print("\n".join([*table, *pictures, f"run: {run.path}"]))


if __name__ == "__main__":
    raise SystemExit(main())
