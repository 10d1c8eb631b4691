"""Copy the results of finished runs of experiments to docs/results/, one JSON file per experiment.

    python scripts/record_results.py RUN [RUN ...]

Runs of one experiment that differ in their overrides (a sweep) become one file with a row per run.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vaezoo.build import read_config
from vaezoo.files import write
from vaezoo.identity import digest
from vaezoo.runs import RECORD, RESULTS, contents

DOCS = Path(__file__).parents[1] / "docs" / "results"
PLACES = ("run_dir", "sweep_dir", "sweep=", "resume", "hardware", "logger", "callbacks", "dataset.root")
QUIET = (*PLACES, "trainer.progress_bar", "evaluate.")  # overrides that change no number
SHOWN = ("status", "seed", "data", "parameters", "versions", "hardware", "seconds", "images_per_second", "epochs")


def main() -> None:
    """Groups the runs by experiment and writes each group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    groups = defaultdict(list)
    for run in parser.parse_args().runs:
        config = read_config(run)
        if not config.choices.experiment:
            parser.error(f"{run} is no run of an experiment")
        groups[config.choices.experiment].append(record(run, config))
    for experiment, rows in groups.items():
        file = DOCS / f"{experiment}.json"
        write(file, json.dumps(rows[0] if len(rows) == 1 else {"runs": rows}, indent=2) + "\n")
        print(file)


def record(run: Path, config: DictConfig) -> dict[str, Any]:
    """What one run was and what it measured."""
    about = contents(run / RECORD)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    choices = {key: plain["choices"][key] for key in ("variant", "dataset", "likelihood", "prior", "posterior")}
    overrides = [text for text in plain["overrides"] if not text.startswith(QUIET)]
    measured = contents(run / RESULTS)
    trained = {key: about.get(key) for key in SHOWN}
    return {**choices, "overrides": overrides, "config_hash": digest(plain), "training": trained, **measured}


if __name__ == "__main__":
    main()
