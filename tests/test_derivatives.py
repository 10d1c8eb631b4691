"""Derivatives of every term of every variant and part against finite differences, in the order of a training step.

What is registered is checked, or declared in `tests/derivatives.py` beside the test of what it is instead.
"""

import copy
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import torch

from tests.derivatives import BF16, CODES, DECLARED, LARGEST, Held, differences, fixed_noise, unmoved, within
from vaezoo import registry
from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.build import build, latent_shape
from vaezoo.contract.subjects import digits, small, some
from vaezoo.discrete import Discrete
from vaezoo.distributions import noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.variational import Variational

VARIANTS = registry.names("variant")
STOPPED = [name for (group, name), declared in DECLARED.items() if group == "variant" and declared is CODES]
FEW_CODES = "posterior.codes=8"  # no more than there are inputs: equal codes tie
ALWAYS = dict.fromkeys(("vq_vae", "vq_vae_2", "residual_vq_vae", "product_vq_vae"), (FEW_CODES,))
OPTIONS = [  # of variants, beside their defaults
    ("beta_tcvae", "variant.estimator=stratified"),
    ("contractive_autoencoder", "variant.projections=2"),
    ("dip_vae", "variant.kind=ii"),
    ("info_vae", "variant.kernel=rbf"),
    ("rae", "variant.regulariser=gradient"),
    ("sparse_autoencoder", "variant.penalty=l1"),
    ("sparse_autoencoder", "variant.penalty=top_k"),
    ("vq_vae", "posterior.update=loss"),
    ("wae_mmd", "posterior=diagonal"),
    ("aae", "variant.players=2"),
]
ONE = {"product_vq_vae": ("latent=[1,4,4]", "posterior.groups=1"), "vq_vae_2": ("latent=[1,4,4]",)}
THOUSAND = {"vq_vae_2": ("latent=[1000,4,4]",)}


# -- variants ----------------------------------------------------------------------------------------------------------


@cache
def model(variant, *overrides):
    """A small model away from its start, in double precision, with activations that have a derivative everywhere."""
    config = copy.deepcopy(small(variant, *ALWAYS.get(variant, ()), *overrides))
    for group in ("encoder", "decoder", "variant"):
        if "activation" in config[group]:
            config[group].activation = "silu"
    data = digits(variant)
    with noise.seeded(0), torch.no_grad():
        made = build(config, data.shapes(latent_shape(config.latent)))
        made.start(data.split("train")[:60].x)
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.double()


def updates(made):
    """Stage and update, with the model as it is when the update is made."""
    made.train()
    for index, stage in enumerate(made.stages):
        made.stage_index = index
        made._freeze()
        for update in stage.updates:
            yield stage, update


def groups(made, update, name):
    """The parameters of an update by part, those left out whose gradient is declared."""
    declared = DECLARED.get(("variant", name))
    left_out = {id(p) for part in (declared.parts if declared else ()) for p in made.get_submodule(part).parameters()}
    parts = [child for part in update.modules for child in (part.children() if part is made else [part])]
    found = [kept for part in parts if (kept := [p for p in part.parameters() if id(p) not in left_out])]
    assert {id(p) for p in chain(*found)} == {id(p) for p in update.parameters} - left_out
    return found


def compared(made, name, batch, together=False, holding=None):
    """Every term of every update along a direction for each part, or for all parts together."""
    holding = name in STOPPED if holding is None else holding
    batch, found = batch._replace(x=batch.x.double()), {}
    for stage, update in updates(made):
        held = Held() if holding else None

        def terms(stage=stage, update=update, held=held):
            with unmoved(made), fixed_noise():
                if held is None:
                    return stage.terms(update, batch)
                with held():
                    return stage.terms(update, batch)

        parts = groups(made, update, name)
        for number, part in enumerate([list(chain(*parts))] if together else parts):
            for term, difference in differences(terms, part).items():
                found[f"{stage.name}, {update.name}, {term}, part {number}"] = difference
    assert found
    return found


def only(batch, x=None, examples=None):
    """The batch with other values, or its first examples."""
    batch = batch if x is None else batch._replace(x=torch.full_like(batch.x, x))
    return Batch(*(None if each is None else each[:examples] for each in batch))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in STOPPED])
def test_gradient_is_the_derivative(variant):
    within(compared(model(variant), variant, some(variant)))


@pytest.mark.parametrize("variant", STOPPED)
def test_gradient_is_the_derivative_with_stop_gradients_held(variant):
    """Straight-through: the decoder's gradient at the code is the vector's; each penalty moves the one it names."""
    within(compared(model(variant), variant, some(variant)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_is_the_derivative_at_extreme_data(variant):
    """All values 0, all 1, and a batch of one example."""
    for batch in (only(some(variant), x=0.0), only(some(variant), x=1.0), only(some(variant), examples=1)):
        within(compared(model(variant), variant, batch, together=True))


@pytest.mark.parametrize(("variant", "option"), OPTIONS)
def test_gradient_of_an_option_is_the_derivative(variant, option):
    within(compared(model(variant, option), variant, some(variant), together=True))


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [ONE, THOUSAND], ids=["one latent", "a thousand latents"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_is_the_derivative_with_few_and_many_latents(variant, overrides):
    size = ("latent=1",) if overrides is ONE else ("latent=1000",)
    within(compared(model(variant, *overrides.get(variant, size)), variant, some(variant), together=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_in_mixed_precision_is_that_in_double(variant):
    """Under bfloat16 autocast, for the same noise and codes: finite, and as near as the rounding of layers allows."""
    double, half = model(variant), copy.deepcopy(model(variant)).float()
    half._stages = []  # of the copy's own parts
    batch = alike(double, half, some(variant))
    for (stage, update), (other, twin) in zip(updates(double), updates(half), strict=True):
        with unmoved(double), fixed_noise():
            exact = gradient(stage.terms(update, batch._replace(x=batch.x.double())).loss, update)
        with fixed_noise(), torch.autocast("cpu", torch.bfloat16):
            rounded = gradient(other.terms(twin, batch).loss, twin)
        assert rounded.isfinite().all()
        assert (rounded - exact).norm() <= BF16 * exact.norm(), f"{stage.name}, {update.name}"


def alike(double, half, batch):
    """The examples with the same codes in both precisions: a feature near the edge of a cell may round to another."""
    if not isinstance(double, Discrete):
        return batch
    with torch.no_grad(), fixed_noise():
        exact = [level.q.codes for level in double.latents(batch.x.double())]
    with torch.no_grad(), fixed_noise(), torch.autocast("cpu", torch.bfloat16):
        rounded = [level.q.codes for level in half.latents(batch.x)]
    same = [(one == other).flatten(1).all(1) for one, other in zip(exact, rounded, strict=True)]
    kept = torch.stack(same).all(0)
    assert kept.any()
    return Batch(*(None if part is None else part[kept] for part in batch))


def gradient(loss, update):
    """The gradient of the parameters of an update as one vector, double."""
    found = torch.autograd.grad(loss, update.parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([each.double().flatten() for each in found])


@pytest.mark.parametrize("variant", ["stacked_autoencoder", "miwae"])
def test_differences_of_rectified_units_agree_at_steps_that_cross_no_kink(variant):
    """With rectifiers a step of 1e-3 crosses kinks, which are no fault of the gradient: smaller steps agree with it."""
    made = build(small(variant), digits(variant).shapes(latent_shape(small(variant).latent))).double()
    within(compared(made, variant, some(variant), together=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_in_double_precision_stays_in_it(variant):
    """Reports, codes, reconstructions, samples and likelihoods."""
    made, batch = model(variant).eval(), some(variant)._replace(x=some(variant).x.double())
    c = made.condition(batch) if isinstance(made, Autoencoder) else None
    with torch.no_grad(), noise.seeded(0):
        found = dict(made.terms(batch))
        if isinstance(made, Autoencoder):
            found |= {"code": made.encode(batch.x, c), "reconstruction": made.reconstruct(batch.x, c)}
        if isinstance(made, Variational):
            found["sample"] = made.sample(len(batch.x), c)
            if getattr(made.posterior, "density", "any") != "none":
                found["likelihood"] = made.log_likelihood(batch.x, 2, c)
    assert {name: each.dtype for name, each in found.items() if each.dtype != torch.double} == {}


# -- what is declared --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [name for group, name in DECLARED if group == "variant"])
def test_what_is_declared_is_not_the_derivative(variant, monkeypatch):
    """A declaration that is no longer needed must go."""
    assert variant in VARIANTS
    made = model(variant)
    monkeypatch.delitem(DECLARED, ("variant", variant))
    found = compared(made, variant, some(variant), holding=False)
    assert max(difference.error for difference in found.values()) > 100 * LARGEST


@pytest.mark.parametrize("declared", sorted(set(DECLARED.values())), ids=lambda declared: declared.why[:30])
def test_what_is_declared_has_a_test_of_what_it_is(declared):
    file, name = declared.identity.split("::")
    assert f"def {name}(" in Path(__file__).parents[1].joinpath(file).read_text()


def test_dreg_gradient_is_the_sum_of_its_definition():
    """The encoder's is sum_k w_k^2 d log w_k / d z_k  d z_k / d phi; its mean is that of the bound: test_importance."""
    made = model("dreg_iwae").train()
    batch = some("dreg_iwae")._replace(x=some("dreg_iwae").x.double())
    with fixed_noise():
        ours = made.terms(batch).loss
    with fixed_noise():
        ((q, p, z),) = made.latents(batch.x, k=made.samples)
    free = z.detach().requires_grad_()
    constant = DiagonalNormal(q.mean.detach(), q.log_std.detach())
    log_w = made.decode(free).log_prob(batch.x) + p.log_prob(free) - constant.log_prob(free)  # [K, B]
    (slope,) = torch.autograd.grad(log_w.sum(), free)
    inference = [*made.encoder.parameters(), *made.posterior.parameters()]
    weights = log_w.detach().softmax(0).square().unsqueeze(-1)
    by_hand = torch.autograd.grad(-(weights * slope * z).sum(0).sum(-1).mean(), inference)
    torch.testing.assert_close(torch.autograd.grad(ours, inference), by_hand, rtol=1e-9, atol=1e-12)


def test_power_iteration_gives_the_derivative_once_it_has_converged():
    """Singular vectors are constants of a step: at their fixed point, sigma's derivative is u v^T nevertheless."""
    made = model("rae", "variant.regulariser=spectral").train()
    for _ in range(500):
        made.decode(made.encode(some("rae").x.double()))
    within(compared(made, "rae", some("rae")))


def test_state_that_follows_a_step_is_moved_by_no_gradient():
    """Running codebooks, the multiplier of GECO and the held scale are buffers, which no term moves."""
    cases = {
        "vq_vae": ("posterior.book.vectors", FEW_CODES),
        "geco_vae": ("log_multiplier", "variant.step=0.5"),
        "autoencoder": ("likelihood.location_scale.log_scale", "likelihood.scale=optimal"),
    }
    for variant, (name, option) in cases.items():
        made = model(variant, option).train()
        held = dict(made.named_buffers())[name]
        before = held.clone()
        with fixed_noise():
            stage, update = next(updates(made))
            terms = stage.terms(update, some(variant)._replace(x=some(variant).x.double()))
        assert not held.requires_grad and torch.equal(held, before)
        terms.loss.backward()
        for module in made.modules():
            if hasattr(type(module), "move"):
                module.move()
        assert not torch.equal(held, before)
        with torch.no_grad():
            held.copy_(before)
        made.zero_grad(set_to_none=True)
