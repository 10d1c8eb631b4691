"""The contract: each test takes the name of a variant."""

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf, open_dict
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor, nn

from vaezoo import registry
from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.build import PARTS, load, save, write_shapes
from vaezoo.contract.subjects import (
    B,
    Recorder,
    Twice,
    built,
    depends,
    doubled,
    fit,
    made_up,
    moved,
    named_by,
    objectives,
    shapes_of_digits,
    small,
    some,
    state,
)
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.programme import Update
from vaezoo.runs import CONFIG, RECORD
from vaezoo.schedules import Schedule
from vaezoo.variant import Variant
from vaezoo.variational import Variational

EVENTS = ((1, 8, 8), (3, 32, 32), (7,))  # besides the digits


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per variant: those of ``--variant``, else all that can be imported."""
    if "variant" in metafunc.fixturenames:
        entries = registry.entries("variant")
        chosen = metafunc.config.getoption("variant", None) or [name for name in entries if not entries[name].broken]
        if unknown := set(chosen) - set(entries):
            raise pytest.UsageError(f"--variant {', '.join(unknown)}: there are {', '.join(entries)}")
        metafunc.parametrize("variant", chosen)


# -- objective ---------------------------------------------------------------------------------------------------------


def test_terms_are_finite_per_example_and_add_up_to_the_loss(variant: str) -> None:
    """Every term is [B], or [] where it couples the batch; the loss is their weighted sum; the ELBO has no weights."""
    model, batch = built(variant), some(variant)
    for name, terms in objectives(model, batch).items():
        for term, value in terms.items():
            assert value.shape in ((), (B,)), f"{name}: {term} has shape {[*value.shape]}, neither [B] nor []"
            assert value.isfinite().all(), f"{name}: {term} is not finite"
        total = sum(terms._weights.get(term, 1.0) * value.mean() for term, value in terms.items())
        torch.testing.assert_close(terms.loss, torch.as_tensor(total), rtol=1e-5, atol=1e-5)
        if terms.elbo is not None:
            negative = terms["distortion"] + sum(terms[rate] for rate in terms.rates)
            torch.testing.assert_close(terms.elbo, -negative)


def test_evaluation_changes_no_state(variant: str) -> None:
    """In eval mode ``terms`` moves no parameter and no buffer."""
    model, batch = built(variant).eval(), some(variant)
    before = state(model)
    model.terms(batch)
    assert not moved(before, state(model)), f"terms moved {moved(before, state(model))} in eval mode"


def test_duplicating_the_batch_changes_nothing(variant: str) -> None:
    """A batch and its noise, twice: the same terms twice, and the same loss. A term that couples the batch is []."""
    model, batch = built(variant), some(variant)
    for module in model.modules():
        module.training &= not isinstance(module, nn.modules.dropout._DropoutNd)  # its noise cannot be replayed
    recorder = Recorder()
    with noise.source(recorder):
        single = objectives(model, batch)
    with noise.source(Twice(recorder.draws)):
        double = objectives(model, doubled(batch))
    for name, terms in single.items():
        once_each = {term: torch.cat([value, value]) for term, value in terms.items() if value.ndim}
        twice_each = {term: double[name][term] for term in once_each}
        torch.testing.assert_close(twice_each, once_each, rtol=1e-5, atol=1e-5)
        if len(once_each) == len(terms):
            torch.testing.assert_close(double[name].loss, terms.loss, rtol=1e-5, atol=1e-5)


def test_every_parameter_gets_a_finite_gradient(variant: str) -> None:
    """Over all updates, each parameter that one of them names gets a gradient from one that names it.

    One exception: where no update optimises the distortion, the likelihood's parameters that are not in the mean of
    p(x|z), such as its scale, have nothing to learn from.
    """
    model, batch = built(variant), some(variant)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    missing, fitted = {}, False
    updates = [(stage, update) for stage in model.stages for update in stage.updates]
    for _, update in updates:
        missing.update({id(parameter): parameter for parameter in update.parameters})
    for stage, update in updates:
        terms = stage.terms(update, batch)
        if terms is None:
            continue
        fitted |= "distortion" in terms and depends(terms.loss, terms["distortion"])
        gradients = torch.autograd.grad(terms.loss, update.parameters, allow_unused=True)
        for parameter, gradient in zip(update.parameters, gradients, strict=True):
            if gradient is not None:
                assert gradient.isfinite().all(), f"{update.name}: the gradient of {names[id(parameter)]} is not finite"
                missing.pop(id(parameter), None)
    if isinstance(model, Variational) and not fitted:
        mean = model.reconstruct(batch.x, model.condition(batch)).sum()
        for parameter in model.likelihood.parameters():
            if not depends(mean, parameter):
                missing.pop(id(parameter), None)
    assert not missing, f"no update that names them gives a gradient to {[names.get(key) for key in missing]}"


def test_limit_agrees(variant: str) -> None:
    """At each declared limit: with the same weights and noise, the other variant's loss and gradients, to 1e-6."""
    limits = registry.card("variant", variant).limits
    if not limits:
        pytest.skip(f"{variant} declares no limit")
    for name, arguments in limits.items():
        config = small(variant).copy()
        with open_dict(config):
            config.variant.update(arguments)
        model = built(variant, config).double()
        with noise.seeded(1), torch.no_grad():
            for parameter in model.parameters():  # away from the start, where rates are nearly 0
                parameter.add_(0.2 * torch.randn_like(parameter))
        cls: Any = registry.load("variant", name)
        parts = [f"{group}={config.choices[group]}" for group in PARTS if group in model.uses and group in cls.uses]
        other = built(name, small(name, *parts), shapes_of_digits(variant)).double()
        unknown = dict(other.named_parameters()).keys() - dict(model.named_parameters()).keys()
        assert not unknown, f"{name} has parameters {sorted(unknown)} and {variant} does not"
        other.load_state_dict(model.state_dict(), strict=False)
        loss, gradients = first_step(model, some(variant))
        expected, others = first_step(other, some(variant))
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close({key: gradients[key] for key in others}, others, rtol=1e-6, atol=1e-6)


# -- order of training -------------------------------------------------------------------------------------------------


def test_each_update_moves_only_its_own_modules(variant: str) -> None:
    """In one batch of each stage: an update's step moves parameters and buffers that it names, and no other."""
    model = built(variant)
    log: list[tuple[Update | None, dict[str, Tensor]]] = []
    begun: list[int] = []  # where in the log a batch begins, whose objective must not move anything either

    def start(trainer: Any, model: Any, *_: Any) -> None:
        begun.append(len(log))
        log.append((model.stage.updates[0], state(model)))

    def step(trainer: Any, model: Any, optimizer: Any) -> None:
        log.append((model.stage.updates[trainer.optimizers.index(optimizer)], state(model)))

    def end(*_: Any) -> None:
        log.append((None, state(model)))

    spy = LambdaCallback(on_train_batch_start=start, on_before_optimizer_step=step, on_train_batch_end=end)
    fit(model, variant, spy, limit_train_batches=1)
    for place, ((update, before), (_, after)) in enumerate(pairwise(log)):
        if update is not None:
            changed, own = moved(before, after), named_by(model, update)
            assert changed or place in begun, f"{update.name} moved nothing"
            assert changed <= own, f"{update.name} moved {sorted(changed - own)}"


def test_a_stage_freezes_what_it_does_not_name(variant: str) -> None:
    """Outside the updates of a stage: no gradient wanted, modules in eval mode. Optimizers start anew with a stage."""
    model, seen = built(variant), []

    def start(trainer: Any, model: Any, *_: Any) -> None:
        assert not any(optimizer.state for optimizer in trainer.optimizers), "an optimizer kept its state"
        seen.append(model.stage.name)

    def end(trainer: Any, model: Any, *_: Any) -> None:
        named = set().union(*(named_by(model, update) for update in model.stage.updates))
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == (name in named), f"stage {model.stage.name}: {name} is wrongly (un)frozen"
        for name, module in model.named_modules():
            parameters = {f"{name}.{own}" if name else own for own, _ in module.named_parameters()}
            if parameters and not parameters & named:
                assert not module.training, f"stage {model.stage.name}: {name} is frozen and in train mode"

    fit(model, variant, LambdaCallback(on_train_batch_start=start, on_train_batch_end=end), limit_train_batches=1)
    assert seen == [stage.name for stage in model.stages]


def test_schedules_follow_the_progress(variant: str) -> None:
    """In training batch k of n a schedule stands at s(k / n), in validation at s(1)."""
    model, progress = built(variant), []

    def end(trainer: Any, model: Any, *_: Any) -> None:
        progress.append(model.progress)
        for schedule in schedules(model):
            assert float(schedule()) == pytest.approx(schedule.at(progress[-1])), f"{schedule} at {progress[-1]}"

    def validated(trainer: Any, model: Any, *_: Any) -> None:
        for schedule in schedules(model):
            assert float(schedule()) == pytest.approx(schedule.at(1.0)), f"{schedule} in validation"

    fit(model, variant, LambdaCallback(on_train_batch_end=end, on_validation_batch_end=validated))
    assert progress == pytest.approx([k / len(progress) for k in range(2 * len(model.stages))])


def test_trains_and_validates(variant: str) -> None:
    """Two batches per stage: the terms that validation reports are finite, and training leaves all state finite."""
    model = built(variant)
    metrics = fit(model, variant).callback_metrics
    for name in (*model.eval().terms(some(variant)), "loss"):
        value = metrics.get(f"val/{name}")
        assert value is not None and value.isfinite(), f"val/{name} is {value}"
    broken = [name for name, value in state(model).items() if not value.isfinite().all()]
    assert not broken, f"{broken} are not finite after training"


def test_trainer_flags_work_or_are_refused(variant: str) -> None:
    """One update per stage: Lightning accumulates and clips. Several: one sentence says what to use instead."""
    model = built(variant)
    if model.automatic_optimization:
        trainer = fit(model, variant, accumulate_grad_batches=2, gradient_clip_val=0.5)
        assert trainer.global_step == len(model.stages), "two batches are one step when two are accumulated"
        return
    for flag, value in {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5, "max_steps": 5}.items():
        with pytest.raises(UsageError, match=f"^.*{flag}.*$"):
            fit(built(variant), variant, **{flag: value})


def test_same_seed_trains_the_same_model(variant: str) -> None:
    """Two runs of three batches per stage are bit-equal."""
    first, second = built(variant), built(variant)
    for model in (first, second):
        fit(model, variant, limit_train_batches=3)
    assert not moved(state(first), state(second)), f"{moved(state(first), state(second))} differ"


# -- saving ------------------------------------------------------------------------------------------------------------


def test_saved_model_gives_the_same_terms(variant: str) -> None:
    """A model built anew from config.yaml, run.json and model.safetensors."""
    model = built(variant)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / CONFIG).write_text(OmegaConf.to_yaml(small(variant), resolve=True), encoding="utf-8")
        (folder / RECORD).write_text(json.dumps({"shapes": write_shapes(model.shapes)}), encoding="utf-8")
        save(model, folder)
        loaded = load(folder)
    assert_same_terms(model, loaded, some(variant))


def test_checkpoint_needs_no_pickle(variant: str) -> None:
    """Lightning's checkpoint loads with ``weights_only=True`` and gives the same terms."""
    model, other = built(variant), built(variant, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "last.ckpt")
        fit(model, variant).save_checkpoint(path)
        other.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    assert_same_terms(model, other, some(variant))


# -- what a model gives ------------------------------------------------------------------------------------------------


def test_codes_and_reconstructions_have_their_shapes(variant: str) -> None:
    """``reconstruct`` and the mean of ``decode(encode(x))`` are shaped like x; ``decode`` folds leading dimensions."""
    model: Any = built(variant).eval()
    if not hasattr(model, "reconstruct"):
        pytest.skip(f"{variant} has no decoder, so it reconstructs nothing")
    batch = some(variant)
    c = model.condition(batch) if isinstance(model, Autoencoder) else None
    z = model.encode(batch.x, c)
    assert model.reconstruct(batch.x, c).shape == batch.x.shape
    px = model.decode(z, c)
    assert px.mean.shape == batch.x.shape and px.log_prob(batch.x).shape == (B,)
    if isinstance(model, Autoencoder):
        folded = model.decode(z.expand(3, 2, *z.shape), c)
        assert folded.mean.shape == (3, 2, *batch.x.shape) and folded.log_prob(batch.x).shape == (3, 2, B)
        torch.testing.assert_close(folded.mean[1, 1], px.mean, rtol=1e-4, atol=1e-5)


def test_likelihood_estimates_have_their_shapes(variant: str) -> None:
    """``log_weights`` is [k, B] and ``log_likelihood`` [B]."""
    model, batch = built(variant).eval(), some(variant)
    if not isinstance(model, Variational) or getattr(model.posterior, "density", "any") == "none":
        pytest.skip(f"{variant} has no density of z, hence no estimate of log p(x)")
    c = model.condition(batch)
    assert model.log_weights(batch.x, 3, c).shape == (3, B)
    bound = model.log_likelihood(batch.x, 3, c)
    assert bound.shape == (B,) and bound.isfinite().all()


def test_samples_have_their_shape_and_repeat(variant: str) -> None:
    """n samples of x, the same ones for the same seed."""
    model, batch = built(variant).eval(), some(variant)
    if not isinstance(model, Variational):
        pytest.skip(f"{variant} has no prior")
    c = model.condition(batch)
    draws = []
    for seed in (0, 0, 1):
        with noise.seeded(seed):
            draws.append(model.sample(B, c))
    first, again, other = draws
    assert first.shape == batch.x.shape, f"samples have shape {[*first.shape]}"
    assert torch.equal(first, again) and not torch.equal(first, other), "samples must be a function of the seed"


def test_fits_other_data(variant: str) -> None:
    """Grey and colour pictures and vectors: every update has a finite loss and gradient, or one sentence refuses."""
    for event in EVENTS:
        shapes = shapes_of_digits(variant).replace(event=event, mean=None)
        batch = made_up(shapes)
        try:
            model = built(variant, shapes=shapes)
        except UsageError as error:
            assert "\n" not in str(error)
            continue
        for name, terms in objectives(model, batch).items():
            assert terms.loss.isfinite(), f"{name} on {event}"
            terms.loss.backward(retain_graph=True)
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None), f"gradient on {event}"


def first_step(model: Variant, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of the first update in double precision, and its gradient by parameter, zero where there is none."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with noise.seeded(0):
        terms = model.stages[0].terms(model.stages[0].updates[0], batch._replace(x=batch.x.double()))
    assert terms is not None
    gradients = torch.autograd.grad(terms.loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return terms.loss, dict(zip(named, gradients, strict=True))


def assert_same_terms(first: Variant, second: Variant, batch: Batch) -> None:
    """Both models give the same terms in eval mode, bit for bit."""
    reports = []
    for model in (first.eval(), second.eval()):
        with noise.seeded(0):
            reports.append(dict(model.terms(batch)))
    torch.testing.assert_close(*reports, rtol=0, atol=0)


def schedules(model: Variant) -> list[Schedule]:
    """The schedules of a model and of its parts."""
    return [module for module in model.modules() if isinstance(module, Schedule)]
