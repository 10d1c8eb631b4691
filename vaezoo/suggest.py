"""Which option is meant by a key without its group."""

from omegaconf import DictConfig

from vaezoo import describe, registry

ALIASES = {  # what others call an option -> its name here
    **dict.fromkeys(("epochs", "max_epoch", "n_epochs", "num_epochs"), "max_epochs"),
    **dict.fromkeys(("learning_rate", "learningrate", "LR"), "lr"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("gpus", "gpu", "num_gpus"), "devices"),
    **dict.fromkeys(("num_workers", "n_workers"), "workers"),
    **dict.fromkeys(("data", "data_dir", "data_root"), "root"),
    **dict.fromkeys(("grad_clip", "gradient_clip_val"), "clip"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
}
SHOWN = 3  # options that have a key


def full_key(key: str, config: DictConfig) -> str:
    """``"; did you mean 'optimizer.lr'?"`` for ``lr`` or ``learning_rate``; an empty string if no group has it.

    Args:
        key: what the user wrote, without a group.
        config: the composed configuration, whose options come first; then those of any other class.
    """
    last = ALIASES.get(key.lower(), key)
    blocks = {str(name): node for name, node in config.items() if isinstance(node, DictConfig) and name != "hydra"}
    found = [f"{name}.{last}" for name, node in blocks.items() if last in node.keys()]  # noqa: SIM118 - "???" is not `in`
    if found:
        return f"; did you mean {' or '.join(map(repr, found))}?"
    owners = [f"{group}={name}" for group in registry.GROUPS for name in _with(group, last)]
    more = f" and {len(owners) - SHOWN} more" if len(owners) > SHOWN else ""
    group = owners[0].partition("=")[0] if owners else ""
    return f"; did you mean '{group}.{last}', an option of {', '.join(owners[:SHOWN])}{more}?" if owners else ""


def _with(group: str, key: str) -> list[str]:
    """The names of a group with an option of this name."""
    usable = (name for name, entry in registry.entries(group).items() if not entry.broken)
    return [name for name in usable if key in {argument for argument, _, _ in describe.signature(group, name)}]
