"""Any variant with any posterior, prior and likelihood: it trains, or one sentence says why not."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "composition_matrix.py"


@pytest.fixture(scope="module")
def matrix():
    spec = importlib.util.spec_from_file_location("composition_matrix", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_combination_crashes(matrix):
    found = {cell: matrix.outcome(cell) for cell in matrix.sample(60, seed=1)}
    crashed = {cell: message for cell, (kind, message) in found.items() if kind == "crashed"}
    assert not crashed
    assert sum(kind == "trained" for kind, _ in found.values()) >= 16, "fewer cells train than did"
    assert all(message.strip() for kind, message in found.values() if kind == "refused")


@pytest.mark.parametrize(("variant", "likelihood"), [("vae_gan", "gaussian"), ("piwae", "bernoulli")])
def test_players_that_share_a_pass_train(matrix, variant, likelihood):
    assert matrix.outcome(matrix.Cell(variant, "diagonal", "standard", likelihood)) == ("trained", "")


def test_a_crash_is_told_from_a_refusal(matrix, monkeypatch):
    cell = matrix.Cell("vae", "diagonal", "standard", "bernoulli")
    assert matrix.outcome(cell) == ("trained", "")
    assert matrix.outcome(cell._replace(posterior="point"))[0] == "refused"
    monkeypatch.setattr(matrix, "build", lambda *_: 1 / 0)
    assert matrix.outcome(cell)[0] == "crashed"
