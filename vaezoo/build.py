"""From a resolved configuration to a variant, and back from a run's folder."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from vaezoo.choices import AUTO
from vaezoo.construction import explained, instantiate
from vaezoo.data.datamodule import DataModule
from vaezoo.errors import UsageError, near
from vaezoo.files import atomic
from vaezoo.folder import check_data
from vaezoo.likelihoods.support import DEFAULT
from vaezoo.likelihoods.support import check as check_support
from vaezoo.registry import GROUPS
from vaezoo.run_files import check_weights
from vaezoo.runs import CONFIG, RECORD, WEIGHTS, Broken, contents
from vaezoo.shapes import Shapes
from vaezoo.trust import granting, read_config
from vaezoo.variant import Variant

PARTS = tuple(group for group in GROUPS if group != "variant")


@explained
def build(config: DictConfig, shapes: Shapes) -> Variant:
    """The variant that a configuration describes, with its parts.

    Args:
        config: what :func:`vaezoo.compose` returns.
        shapes: what the data and the latent size fix.

    Raises:
        UsageError: a part does not fit the data, another part, or a variant that has no use for it.
    """
    config = settle(config, shapes.support)
    variant = instantiate(config.variant)
    cls: type[Variant] = variant.func
    name = config.choices.variant
    _check_parts(config, cls, name)
    _check_needs(cls, name, shapes, config.choices.dataset)
    parts = {group: _part(config, group, name) for group in cls.uses}
    if "likelihood" in parts:
        relaxed = config.likelihood.get("allow_relaxed", False)
        check_support(parts["likelihood"].func, shapes.support, config.choices.dataset, relaxed)
    if "prior" in parts and "posterior" in parts:
        _check_prior(parts["prior"].func, parts["posterior"].func, config.choices)
        _check_posterior(cls, parts["prior"].func, parts["posterior"].func, config.choices)
    options = OmegaConf.to_container(config.optimizer, resolve=True)
    with granting(config.get("trust", False)):  # runs of earlier versions have no such key
        return variant(shapes=shapes, optimizer=options, seed=config.seed, **parts)


def settle(config: DictConfig, support: str) -> DictConfig:
    """The configuration with the likelihood of these data in place of ``likelihood=auto``.

    Args:
        config: what :func:`vaezoo.compose` returns; it is left as it is.
        support: where the data live, `Shapes.support`.

    Returns:
        DictConfig: whose ``settled`` lists the groups that were chosen so; the same object where there are none.
    """
    if config.choices.get("likelihood") != AUTO:
        return config
    from vaezoo.configs import node  # here, for it makes our options known to Hydra, which loading a run does not need

    own = copy.deepcopy(config)
    with open_dict(own):
        own.likelihood = OmegaConf.structured(node("likelihood", DEFAULT[support]))
        own.choices.likelihood = DEFAULT[support]
        own.settled = ["likelihood"]
    return own


def latent_shape(latent: Any) -> tuple[int, ...]:
    """``latent=`` as a shape: 20 is (20,), [64,8,8] is (64, 8, 8)."""
    return (latent,) if isinstance(latent, int) else tuple(latent)


def save(model: Variant, folder: Path) -> None:
    """Writes the weights as safetensors; with config.yaml and run.json they are all that :func:`load` needs."""
    with atomic(folder / WEIGHTS) as path:
        save_model(model, str(path))


def load(run_dir: str | Path, weights: bool = True, trust: bool = False) -> Variant:
    """The trained model of a run, in eval mode, on the CPU, for use as it is.

    Its parameters ask for no gradients, so that what it computes keeps none; gradients of inputs are there as ever. To
    train it further, call ``model.requires_grad_(True)``.

    Args:
        run_dir: the run's folder.
        weights: False leaves the weights as they were built, and needs no file of them.
        trust: let the folder name code that is not installed, which then runs; see docs/security.md.

    Raises:
        UsageError: the folder is not a finished run, a file in it is damaged, or it names what is not installed.
    """
    folder = Path(run_dir)
    for file in (CONFIG, RECORD, *([WEIGHTS] if weights else [])):
        if not (folder / file).exists():
            raise UsageError(f"{folder} is not a finished run: {file} is missing")
    record = contents(folder / RECORD)
    try:
        shapes = read_shapes(record["shapes"])
    except (KeyError, TypeError):
        raise Broken(folder / RECORD, "it does not hold the shapes of the data") from None
    model = build(read_config(folder, trust), shapes)
    if weights:
        _load_weights(model, folder / WEIGHTS)
    return model.eval().requires_grad_(False)


def _load_weights(model: Variant, file: Path) -> None:
    check_weights(file)
    try:
        load_model(model, str(file))
    except (RuntimeError, SafetensorError):
        raise Broken(file, f"these are not the weights of the model that {CONFIG} describes") from None


def load_data(
    run_dir: str | Path, root: str | Path | None = None, allow_other_data: bool = False, trust: bool = False
) -> DataModule:
    """The data that a run was trained on, set up.

    Args:
        run_dir: the run's folder.
        root: the folder of all data; None takes the one of the training.
        allow_other_data: take the data that are there, even if they are not those of the training.
        trust: as in :func:`load`.

    Raises:
        UsageError: the folder is not a run, its configuration is damaged, or the data are not where they were, or have
            changed.
    """
    if not (Path(run_dir) / CONFIG).exists():
        raise UsageError(f"{run_dir} is not a run: {CONFIG} is missing")
    config = read_config(run_dir, trust)
    data: DataModule = instantiate(config.dataset, **({"root": str(root)} if root else {}))
    data.prepare_data()
    data.setup()
    check_data(run_dir, data.checksum, allow_other_data)
    return data


def write_shapes(shapes: Shapes) -> dict[str, Any]:
    """Shapes as plain values; the mean example, which starts weights, is left out."""
    names = ("event", "latent", "condition", "classes", "label", "train_size", "support", "range")
    values = {name: getattr(shapes, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_shapes(values: Mapping[str, Any]) -> Shapes:
    """The inverse of :func:`write_shapes`."""
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Shapes(**fields)


def _part(config: DictConfig, group: str, variant: str) -> Any:
    if not config[group]:
        raise UsageError(f"{group}=none does not fit variant={variant}, which uses a {group}")
    return instantiate(config[group])


def _check_parts(config: DictConfig, cls: type[Variant], variant: str) -> None:
    for group in PARTS:
        given = [text for text in config.overrides if text.lstrip("+").split("=")[0].split(".")[0] == group]
        if given and group not in cls.uses and config[group]:
            used = ", ".join(cls.uses) or "no part"
            raise UsageError(f"{given[0]} has no effect: variant={variant} uses {used}")


def _check_needs(cls: type[Variant], variant: str, shapes: Shapes, dataset: str) -> None:
    card = getattr(cls, "card", None)
    if card is not None and "labels" in card.requires and not shapes.classes:
        raise UsageError(f"variant={variant} needs labels and dataset={dataset} has none")


def _check_prior(prior: Any, posterior: Any, choices: Mapping[str, str]) -> None:
    chosen, other = f"prior={choices['prior']}", f"posterior={choices['posterior']}"
    if prior.support != posterior.support:
        raise UsageError(f"{chosen} lives on {prior.support} and {other} on {posterior.support}; they must agree")
    needs = getattr(prior, "needs", ())
    if needs and choices["posterior"] not in needs:
        raise UsageError(
            f"{chosen} needs posterior={' or '.join(needs)}, not {other}{near(choices['posterior'], needs)}"
        )


def _check_posterior(cls: Any, prior: Any, posterior: Any, choices: Mapping[str, str]) -> None:
    variant, chosen = f"variant={choices['variant']}", f"posterior={choices['posterior']}"
    if posterior.support not in cls.supports:
        raise UsageError(
            f"{variant} takes latents on {' or '.join(cls.supports)}; {chosen} lives on {posterior.support}"
        )
    needs = getattr(getattr(cls, "card", None), "requires", ())
    if posterior.density not in cls.densities:
        reason = "has none" if posterior.density == "none" else "knows it at its own samples only"
        raise UsageError(f"{variant} needs the density of q(z|x), and {chosen} {reason}")
    if "factorised" in needs and not (posterior.factorised and getattr(prior, "factorised", False)):
        raise UsageError(
            f"{variant} needs a rate per latent dimension, which {chosen} with prior={choices['prior']} has not:"
            " use posterior=diagonal prior=standard"
        )
