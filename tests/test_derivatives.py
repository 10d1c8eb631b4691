"""Derivatives of every term of every variant and part against finite differences, in the order of a training step.

What is registered is checked here, or declared here not to be a derivative, beside a test of what it is instead.
"""

import copy
from functools import cache
from typing import NamedTuple

import pytest
import torch

from tests.derivatives import Held, differences, fixed_noise, unmoved
from vaezoo import registry
from vaezoo.batch import Batch
from vaezoo.build import build, latent_shape
from vaezoo.contract.subjects import digits, small, some
from vaezoo.distributions import noise
from vaezoo.estimators import importance_terms

LARGEST = 1e-6  # relative error of a derivative in double precision
BF16 = 0.1  # of a gradient under bfloat16 autocast, whose numbers are rounded by up to 2^-8, layer after layer
VARIANTS = registry.names("variant")


class Declared(NamedTuple):
    """Why a gradient is not the derivative of its terms, and the test of what it is instead.

    Args:
        why: what is done by design.
        identity: the test, ``file::name``.
        parts: children of the model whose gradient it is; none for those that have stop-gradients.
    """

    why: str
    identity: str
    parts: tuple[str, ...] = ()


HELD = "test_derivatives.py::test_gradient_is_the_derivative_with_stop_gradients_held"
CODES = Declared("the decoder's gradient passes the code as if it was the vector; penalties stop one of their two", HELD)
DECLARED = {
    **dict.fromkeys(("vq_vae", "vq_vae_2", "residual_vq_vae", "product_vq_vae", "fsq_vae", "lfq_vae"), CODES),
    "dreg_iwae": Declared(
        "another unbiased estimate of the bound's gradient for the encoder",
        "test_derivatives.py::test_dreg_gradient_is_the_sum_of_its_definition",
        ("encoder", "posterior"),
    ),
}
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
    left_out = {id(p) for part in (DECLARED[name].parts if name in DECLARED else ()) for p in made.get_submodule(part).parameters()}
    parts = [child for part in update.modules for child in (part.children() if part is made else [part])]
    return [kept for part in parts if (kept := [p for p in part.parameters() if id(p) not in left_out])]


def compared(made, name, batch, together=False, holding=None):
    """Every term of every update along a direction for each part, or for all parts together; the number of terms."""
    holding = name in DECLARED and DECLARED[name].identity == HELD if holding is None else holding
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
        for number, part in enumerate([sum(parts, [])] if together else parts):
            for term, difference in differences(terms, part).items():
                found[f"{stage.name}, {update.name}, {term}, part {number}"] = difference
    assert found
    return found


def within(found):
    """Fails where a derivative is further off than allowed."""
    wrong = {name: difference for name, difference in found.items() if not difference.error <= LARGEST}
    assert not wrong, f"not the derivative: {wrong}"


def only(batch, x=None, examples=None):
    """The batch with other values, or its first examples."""
    batch = batch if x is None else batch._replace(x=torch.full_like(batch.x, x))
    return Batch(*(None if each is None else each[:examples] for each in batch))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if DECLARED.get(name, CODES) is not CODES or name not in DECLARED])
def test_gradient_is_the_derivative(variant):
    within(compared(model(variant), variant, some(variant)))


@pytest.mark.parametrize("variant", [name for name, declared in DECLARED.items() if declared.identity == HELD])
def test_gradient_is_the_derivative_with_stop_gradients_held(variant):
    """Straight-through: the decoder's gradient at the code is the vector's; each penalty moves the one it names."""
    within(compared(model(variant), variant, some(variant)))
