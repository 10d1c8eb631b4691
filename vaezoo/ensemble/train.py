"""One training of several members, and the run folder of each."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from vaezoo.callbacks.loggers import close
from vaezoo.data.loader import TrainLoader
from vaezoo.ensemble.loader import MemberLoader
from vaezoo.ensemble.member import Member
from vaezoo.ensemble.plan import plan
from vaezoo.ensemble.record import EnsembleRecord
from vaezoo.ensemble.refuse import check_together, check_variant, refuse
from vaezoo.ensemble.stacked import Ensemble
from vaezoo.files import write
from vaezoo.folder import check_vacant, clear
from vaezoo.meters import NotFiniteError
from vaezoo.runs import CONFIG, hold
from vaezoo.train import Run, _prepare, _trainer


def train_ensemble(config: DictConfig) -> Run:
    """Trains the members that ``hardware.ensemble`` describes at once; evaluates and records each as if it were alone.

    Args:
        config: what :func:`vaezoo.compose` returns; in ``run_dir``, whose lock the caller holds, each member gets a run
            folder, and the whole a run.json.

    Returns:
        Run: with those of the members as ``members``.

    Raises:
        UsageError: a configuration or a variant that cannot be trained so; nothing has been trained then.
        NotFiniteError: a term of a member became NaN or infinite; the other members are finished.
    """
    configs = plan(config)
    with ExitStack() as held:
        for own in configs.values():
            held.enter_context(hold(own.run_dir))
            check_vacant(own.run_dir, config.overwrite)
        return _train(config, list(configs.values()))


def _train(config: DictConfig, configs: Sequence[DictConfig]) -> Run:
    _prepare(config)
    members = [Member.of(own) for own in configs]
    record = EnsembleRecord(config, members)
    trainer = _trainer(_bare(config), record.path.parent, members[0].model, [], record)
    ensemble, loader = _together(members, trainer, config.choices.variant)
    for member in members:
        clear(member.path)
        write(member.path / CONFIG, OmegaConf.to_yaml(member.config, resolve=True))
    failed: dict[int, Any] = ensemble.meters.failed
    try:
        trainer.fit(ensemble, loader, members[0].data.val_dataloader())
        ensemble.hand_back([member.model for member in members])
        step = ensemble.batches_seen + 1
        runs = [member.finish(step) for number, member in enumerate(members) if number not in failed]
    except BaseException as error:
        failed = dict.fromkeys(range(len(members)), error)
        raise
    finally:
        record.close(trainer, failed)
        for number, member in enumerate(members):
            close(member.loggers, failed=number in failed)
    if failed:
        raise NotFiniteError("; ".join(f"{members[number].path.name}: {reason}" for number, reason in failed.items()))
    return Run(record.path.parent, ensemble, members=runs)


def _bare(config: DictConfig) -> DictConfig:
    """The configuration without the files of a single run."""
    own = config.copy()
    own.callbacks.pictures = own.callbacks.checkpoints = False
    return own


def _together(members: Sequence[Member], trainer: Trainer, name: str) -> tuple[Ensemble, MemberLoader | TrainLoader]:
    """The started members as one model, checked, and their batches."""
    device, models = trainer.strategy.root_device, [member.model for member in members]
    check_variant(models[0], name)
    for member in members:
        member.start(device)
    try:
        ensemble = Ensemble(models, [member.loggers for member in members])
    except RuntimeError as error:
        refuse(name, f"the members' weights cannot be stacked ({str(error).splitlines()[0]})")
    first = members[0].data
    loader: MemberLoader | TrainLoader = first.train_dataloader()
    if not ensemble.shared:
        loader = MemberLoader([member.data.train_dataloader() for member in members])
    if device.type != "cpu" and getattr(loader, "alike", True):  # the examples are looked up where they are needed
        first.trainer = trainer
        first.setup()
        loader.split = first.split("train")
    check_together(ensemble, models, next(iter(loader)).to(device), name)
    return ensemble, loader
