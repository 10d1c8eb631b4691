"""One evaluation for every variant: the same metrics, in nats, on the same data and with the same noise."""

import math
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from tqdm import tqdm

from vaezoo.batch import Batch
from vaezoo.data.datamodule import DataModule
from vaezoo.data.standardise import Scale
from vaezoo.distributions import noise
from vaezoo.evaluate.flags import Variance, flags
from vaezoo.evaluate.latents import ActiveUnits, MutualInformation, PerDimensionKL
from vaezoo.evaluate.mean import Mean, SquaredError
from vaezoo.evaluate.mode import evaluating, on_device
from vaezoo.evaluate.nll import ImportanceWeightedNLL, bits_per_dim
from vaezoo.evaluate.quality import quality as quality_of
from vaezoo.evaluate.results import format_results as format_results
from vaezoo.evaluate.results import write_results
from vaezoo.evaluate.undefined import EVALUATION, rate_is, remarks, undefined
from vaezoo.hardware import keep_memory, matmul_precision
from vaezoo.variant import Variant
from vaezoo.variational import Variational

PIECE = 50  # examples at a time; with 20 samples each they fill the rows that a likelihood decodes at once
JUDGED = 200  # examples that critics are given for the flags
FIELDS = (
    "elbo",
    "distortion",
    "rate",
    "rate_is",
    "nll",
    "nll_standard_error",
    "bits_per_dim",
    "active_units",
    "mutual_information",
    "kl_per_dimension",
    "squared_error",
)


def evaluate(
    model: Variant,
    datamodule: DataModule,
    k: int = 500,
    split: str = "test",
    progress: bool = True,
    limit: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    quality: Sequence[str] | None = None,
    samples: int = 10_000,
    inception: bool = False,
) -> dict[str, Any]:
    """Measures a model on one split; the model comes back as it was.

    Several processes share the work and get the same numbers as one; all of them must call this.

    Args:
        model: any variant; what it does not define is None, with a reason under ``reasons``.
        datamodule: after ``setup``.
        k: importance samples of the likelihood, >= 0; 0 leaves the likelihood out.
        split: ``train``, ``val`` or ``test``.
        progress: show a progress bar.
        limit: use only the first this many examples.
        seed: seed of the noise; the noise of an example depends on it and on the example's position only.
        device: where to compute; by default where the model was trained, or is.
        quality: samplers whose samples are judged by :func:`vaezoo.evaluate.quality.quality`, in the first process.
        samples: number of samples of each.
        inception: judge them by the Inception network too.

    Returns:
        dict: The fields of one evaluation in results.json; nats per example unless named otherwise. ``flags`` lists,
        in sentences, what cannot be right; see :func:`vaezoo.evaluate.flags.flags`.
    """
    begin = time.perf_counter()
    data = datamodule.split(split)
    size = min(len(data), limit or len(data))
    rank, world = _ranks()
    piece = max(1, min(PIECE, size // world))
    starts = range(0, size, piece)[rank::world]
    with evaluating(model, device):
        probe = on_device(data[:2], model)
        reasons = undefined(model, probe, k)
        own = model.measures()
        meters = {name: meter.to(model.device) for name, meter in (_meters(model, k, reasons) | own).items()}
        variance = Variance().to(model.device)
        hidden = None if progress and rank == 0 else True  # None: there is a bar in a terminal only
        for start in tqdm(starts, f"{split}, k={k}", unit=f" x {piece} images", disable=hidden, leave=False):
            batch = on_device(data[start : min(start + piece, size)], model)
            with noise.seeded(EVALUATION, seed, start):
                _measure(model, batch, meters, own, data.scale)
            variance.update(batch.x if data.scale is None else data.scale.undo(batch.x))
        measured = {name: meter.compute() for name, meter in meters.items()}
        measured["rate_is"] = rate_is(model, probe)
        reasons |= remarks(model)
        if data.scale is not None:
            _in_units(measured, data.scale.log_volume(model.shapes.event))
        seconds = time.perf_counter() - begin
        report = _report({"split": split, "images": size, "k": k}, model, measured, reasons)
        some = on_device(data[: min(JUDGED, size)], model)
        report["flags"] = flags(model, report, variance.compute().item(), some)
    report |= {"seconds": seconds, "images_per_second": size / seconds}
    if quality and rank == 0:
        with evaluating(model, device):
            report["quality"], more = quality_of(model, datamodule, quality, samples, seed, inception)
        report["reasons"] |= more
    return report


def evaluate_run(
    run_dir: Path,
    k: int = 500,
    split: str = "test",
    progress: bool = True,
    limit: int | None = None,
    device: torch.device | str | None = None,
    root: str | Path | None = None,
    allow_other_data: bool = False,
    threads: int | None = None,
    trust: bool = False,
    **judged: Any,
) -> dict[str, Any]:
    """Measures a finished run and adds the result to its results.json; no other process may use the folder meanwhile.

    Args:
        run_dir: the run's folder.
        device: where to compute; by default a GPU if there is one.
        root, allow_other_data: as in :func:`vaezoo.build.load_data`.
        threads: of the CPU; None leaves them as they are.
        trust: as in :func:`vaezoo.build.load`.
        k, split, progress, limit: as in :func:`evaluate`.
        judged: ``quality``, ``samples`` and ``inception`` as in :func:`evaluate`.

    Raises:
        UsageError: the folder is not a finished run, is in use or damaged, or the data are not those of the training.
    """
    from vaezoo.build import load, load_data
    from vaezoo.callbacks.loggers import log_evaluation
    from vaezoo.runs import RESULTS, contents, hold
    from vaezoo.trust import read_config

    with hold(run_dir):
        contents(Path(run_dir) / RESULTS)  # to which the new one is added
        model, datamodule = load(run_dir, trust=trust), load_data(run_dir, root, allow_other_data, trust)
        config = read_config(run_dir, trust)
        keep_memory(config.hardware)
        before = torch.get_float32_matmul_precision(), torch.get_num_threads()
        torch.set_float32_matmul_precision(matmul_precision(config.hardware))
        torch.set_num_threads(threads or before[1])
        try:
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
            results = evaluate(model, datamodule, k, split, progress, limit, device=device, **judged)
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.set_num_threads(before[1])
        write_results(Path(run_dir), results)
        log_evaluation(Path(run_dir), results)
    return results


def _meters(model: Variant, k: int, reasons: dict[str, str]) -> dict[str, Metric]:
    """The metrics that the model defines."""
    meters: dict[str, Metric] = {
        "elbo": Mean(),
        "distortion": Mean(),
        "rate": Mean(),
        "nll": ImportanceWeightedNLL(k),
        "active_units": ActiveUnits(),
        "kl_per_dimension": PerDimensionKL(),
        "squared_error": SquaredError(),
    }
    if isinstance(model, Variational):
        meters["mutual_information"] = MutualInformation(model.q)
    return {name: meter for name, meter in meters.items() if name not in reasons}


def _measure(
    model: Any, batch: Batch, meters: dict[str, Metric], own: Collection[str], scale: Scale | None = None
) -> None:
    """Adds one batch to every meter; ``own`` names those of the variant itself."""
    x, c = batch.x, model.condition(batch) if hasattr(model, "condition") else None
    terms = model.elbo(x, c) if "elbo" in meters else model.terms(batch)
    for name, meter in meters.items():
        if name in own:
            meter.update(model, batch)
    if "distortion" in meters:
        meters["distortion"].update(terms["distortion"])
        pair = (x, model.reconstruct(x, c))
        meters["squared_error"].update(*(pair if scale is None else map(scale.undo, pair)))
    if "elbo" in meters:
        meters["elbo"].update(terms.elbo)
        meters["rate"].update(sum(terms[name] for name in terms.rates))
    if "active_units" in meters:
        meters["active_units"].update(model.encode(x, c))
    if "kl_per_dimension" in meters or "mutual_information" in meters:
        ((q, p, z),) = model.latents(x, c)
        if "kl_per_dimension" in meters:
            meters["kl_per_dimension"].update(q, p)
        if "mutual_information" in meters:
            meters["mutual_information"].update(x, z, c)
    if "nll" in meters:
        meters["nll"].update(model, x, c)


def _in_units(measured: dict[str, Any], log_volume: float) -> None:
    """Likelihoods of standardised data become those of the data: log p(x) = log p(x') - sum of log s."""
    for name, sign in (("elbo", -1), ("distortion", 1)):
        if name in measured:
            measured[name] = measured[name] + sign * log_volume
    if "nll" in measured:
        measured["nll"] = measured["nll"]._replace(mean=measured["nll"].mean + log_volume)


def _report(head: dict[str, Any], model: Variant, measured: dict[str, Any], reasons: dict[str, str]) -> dict[str, Any]:
    """The fields of results.json but the time taken."""
    reasons = dict(reasons)
    estimate = measured.pop("nll", None)
    values: dict[str, Any] = {n: v.tolist() if isinstance(v, Tensor) else v for n, v in measured.items()}
    if estimate is not None:
        values["nll"], values["nll_standard_error"] = estimate.mean.item(), estimate.standard_error.item()
        if "bits_per_dim" not in reasons:
            likelihood: Any = model.likelihood
            values["bits_per_dim"] = bits_per_dim(values["nll"], model.shapes, likelihood.discrete)
    for name, value in values.items():
        numbers = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, float)]
        if not all(map(math.isfinite, numbers)):
            values[name], reasons[name] = None, f"the result is {value}"
    own = {name: values[name] for name in model.measures()}
    return {**head, **{name: values.get(name) for name in FIELDS}, "measures": own, "reasons": reasons}


def _ranks() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
