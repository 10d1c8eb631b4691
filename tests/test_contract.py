"""The contract over every variant of the zoo, proof that its tests can fail, and what the cards promise."""

import ast
import itertools
from functools import cache
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from pytorch_lightning import LightningModule

from vaezoo import registry
from vaezoo.contract import check_variant, test_contract
from vaezoo.contract.test_contract import *  # noqa: F403
from vaezoo.programme import Stage, Update
from vaezoo.terms import Terms
from vaezoo.variants.vamp_vae import VampVAE

ROOT = Path(__file__).parents[1]
CARDS = [(group, name) for group in registry.GROUPS for name in registry.names(group)]
COUNTER = itertools.count()


def _terms(**changes):
    """A ``terms`` that breaks a rule: each change maps the model, the batch and the right value to a wrong one."""

    def terms(self, batch):
        right = self.elbo(batch.x)
        return Terms(**{**right, **{name: change(self, batch, right[name]) for name, change in changes.items()}})

    return terms


def _count(model, batch, value):
    model.decoder.layers[0].bias.data += 1
    return value


def _encoder_alone(model):
    return [Stage("train", [Update("encoder", model.terms, [model.encoder])])]


BREACHES = {
    "test_terms_are_finite_per_example_and_add_up_to_the_loss": {"terms": _terms(rate=lambda m, b, v: v[:, None])},
    "test_evaluation_changes_no_state": {"terms": _terms(rate=_count)},
    "test_duplicating_the_batch_changes_nothing": {"terms": _terms(rate=lambda m, b, v: v * len(v))},
    "test_every_parameter_gets_a_finite_gradient": {"terms": _terms(distortion=lambda m, b, v: v.detach())},
    "test_limit_agrees": {"terms": _terms(rate=lambda m, b, v: 1.001 * v)},
    "test_each_update_moves_only_its_own_modules": {"terms": _terms(rate=_count), "programme": _encoder_alone},
    "test_a_stage_freezes_what_it_does_not_name": {"train": LightningModule.train, "programme": _encoder_alone},
    "test_schedules_follow_the_progress": {"on_train_batch_start": lambda *_: None},
    "test_trains_and_validates": {"on_validation_epoch_end": lambda self: None},
    "test_same_seed_trains_the_same_model": {"terms": _terms(rate=lambda m, b, v: v * next(COUNTER))},
    "test_saved_model_gives_the_same_terms": {"start": lambda self, x: setattr(self.prior, "range", (0.2, 0.4))},
    "test_checkpoint_needs_no_pickle": {"on_save_checkpoint": lambda self, state: state.update(model=Path)},
    "test_codes_and_reconstructions_have_their_shapes": {"reconstruct": lambda self, x, c: x.flatten(1)},
    "test_likelihood_estimates_have_their_shapes": {"log_weights": lambda self, x, k, *_: torch.zeros(len(x), k)},
    "test_samples_have_their_shape_and_repeat": {"sample": lambda self, n, c: torch.full((n, 1, 8, 8), next(COUNTER))},
    "test_fits_other_data": {"terms": _terms(rate=lambda m, b, v: v / (b.x.ndim - 2))},
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_noticed(name, monkeypatch):
    for attribute, value in BREACHES[name].items():
        monkeypatch.setattr(VampVAE, attribute, value)
    with pytest.raises((AssertionError, UnpicklingError)):
        getattr(test_contract, name)("vamp_vae")


def test_check_variant_runs_the_whole_contract(monkeypatch):
    check_variant("vae")
    monkeypatch.setattr(VampVAE, "terms", _terms(rate=lambda m, b, v: 1.001 * v))
    with pytest.raises(AssertionError, match="not close"):
        check_variant("vamp_vae")


@cache
def _names_of_tests():
    files = [*(ROOT / "tests").glob("test_*.py"), Path(test_contract.__file__)]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("group, name", CARDS)
def test_every_identity_is_a_test(group, name):
    missing = set(registry.card(group, name).identities) - _names_of_tests()
    assert not missing, f"{group}={name} names tests that do not exist: {sorted(missing)}"


@pytest.mark.parametrize("group, name", CARDS)
def test_every_reproduction_is_an_experiment_with_a_result(group, name):
    for stem in registry.card(group, name).reproduces:
        assert (ROOT / "conf" / "experiment" / f"{stem}.yaml").is_file(), f"there is no experiment={stem}"
        assert (ROOT / "docs" / "results" / f"{stem}.json").is_file(), f"there is no result of experiment={stem}"
