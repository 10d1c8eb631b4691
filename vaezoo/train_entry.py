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
            configs.compose(overrides)
        hydra.main(version_base="1.3", config_path=str(configs.conf_dir()), config_name="train")(_job)()
    except UsageError as error:
        return refuse(error)
    except (HydraException, OmegaConfBaseException) as error:
        return refuse(configs.explain(error, overrides))
    return 0


def refuse(error: UsageError) -> int:
    """Tell a user's error in one line."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def _job(config: DictConfig) -> None:
    settings = HydraConfig.get()
    config = configs.finish(config, settings, settings.runtime.output_dir)
    from vaezoo.callbacks.checkpoints import Interrupted
    from vaezoo.train import train

    try:
        run = train(config)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"run: {run.path}")
    except Interrupted as stop:
        print(f"{stop}; continue with: vaezoo train resume={config.run_dir}", file=sys.stderr)
        raise SystemExit(128 + stop.signal) from stop
    except UsageError as error:
        if settings.mode == RunMode.MULTIRUN:
            raise  # the other jobs go on
        raise SystemExit(refuse(error)) from error


if __name__ == "__main__":
    raise SystemExit(main())
