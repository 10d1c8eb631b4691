"""Which members an ensemble has, and which configurations cannot be ensembles; without torch."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vaezoo.checks import check
from vaezoo.errors import UsageError
from vaezoo.registry import GROUPS
from vaezoo.runs import JOB
from vaezoo.settings import logger_names

EXAMPLE = "'{variant.beta:[1,2,4,8]}'"


def plan(config: DictConfig) -> dict[str, DictConfig]:
    """The members' own configurations by the name of their folder, e.g. ``seed=3`` or ``variant.beta=0.5``.

    Args:
        config: with ``hardware.ensemble``, a number of seeds or one key of a variant or a part with its values.

    Raises:
        UsageError: the values are no values of the key, or the ensemble is combined with what it cannot do.
    """
    _check(config)
    chosen: Any = config.hardware.ensemble
    key: str
    values: list[Any]
    if isinstance(chosen, int):
        key, values = "seed", [config.seed + number for number in range(chosen)]
    else:
        ((key, values),) = _over(OmegaConf.to_container(chosen)).items()
    return {f"{key}={_word(value)}": _alone(config, key, value) for value in values}


def _over(chosen: Any) -> Mapping[str, list[float]]:
    given = f"hardware.ensemble={chosen}"
    if len(chosen) != 1:
        raise UsageError(f"{given} must name one key with its values, such as {EXAMPLE}")
    ((key, values),) = chosen.items()
    if key.partition(".")[0] not in GROUPS or "." not in key:
        raise UsageError(f"{given}: the key must be an option of {', '.join(GROUPS)}, such as {EXAMPLE}")
    if not isinstance(values, list) or len(set(map(str, values))) < max(2, len(values)):
        raise UsageError(f"{given} must list at least two different values, such as {EXAMPLE}")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise UsageError(f"{given}: the values must be numbers")
    return {key: values}


def _alone(config: DictConfig, key: str, value: Any) -> DictConfig:
    """The configuration of one member, as if it ran alone."""
    own = copy.deepcopy(config)
    if OmegaConf.select(own, key) is None:
        raise UsageError(f"hardware.ensemble: there is no {key} in variant={config.choices.variant} and its parts")
    with open_dict(own):
        OmegaConf.update(own, key, value)
        own.hardware.ensemble = 1
        own.run_dir = f"{config.run_dir}/{key}={_word(value)}"
        kept = [text for text in config.overrides if text.lstrip("+").split("=")[0] not in (key, "hardware.ensemble")]
        own.overrides = [*kept, f"{key}={_word(value)}"]
    check(own)
    return own


def _word(value: float) -> str:
    return str(value)


def _check(config: DictConfig) -> None:
    hardware, given = config.hardware, f"hardware.ensemble={config.hardware.ensemble}"
    refused = {
        f"resume={config.resume}": bool(config.resume),
        f"trainer.early_stopping={config.trainer.early_stopping}": bool(config.trainer.early_stopping),
        f"hardware.strategy={hardware.strategy}": hardware.strategy != "auto",
        f"hardware.devices={hardware.devices}": hardware.devices not in (1, "auto") and not _one(hardware.devices),
        f"hardware.num_nodes={hardware.num_nodes}": hardware.num_nodes != 1,
        f"hardware.precision={hardware.precision}": hardware.precision not in ("32-true", "64-true"),
        f"logger={config.logger.name}": "wandb" in logger_names(config.logger.name),
        f"callbacks.pictures_every_n_epochs={config.callbacks.pictures_every_n_epochs}": bool(
            config.callbacks.pictures_every_n_epochs
        ),
    }
    if (Path(config.run_dir) / JOB).is_file():
        raise UsageError(f"{given} is no job of a sweep, for its members are runs of their own: leave out -m")
    for option, holds in refused.items():
        if holds:
            raise UsageError(f"{given} does not go with {option}: its members train in step, on one device")


def _one(devices: Any) -> bool:
    return not isinstance(devices, int | str) and len(devices) == 1
