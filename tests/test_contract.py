"""The contract over every variant of the zoo, and what the cards promise."""

import ast
from pathlib import Path

import pytest

from vaezoo import registry
from vaezoo.contract.test_contract import *  # noqa: F403

ROOT = Path(__file__).parents[1]
CARDS = [(group, name) for group in registry.GROUPS for name in registry.names(group)]


def _tests() -> set[str]:
    files = [*(ROOT / "tests").glob("test_*.py"), ROOT / "vaezoo" / "contract" / "test_contract.py"]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("group, name", CARDS)
def test_every_identity_is_a_test(group, name):
    missing = set(registry.card(group, name).identities) - _tests()
    assert not missing, f"{group}={name} names tests that do not exist: {sorted(missing)}"


@pytest.mark.parametrize("group, name", CARDS)
def test_every_reproduction_is_an_experiment_with_a_result(group, name):
    for stem in registry.card(group, name).reproduces:
        assert (ROOT / "conf" / "experiment" / f"{stem}.yaml").is_file(), f"there is no experiment={stem}"
        assert (ROOT / "docs" / "results" / f"{stem}.json").is_file(), f"there is no result of experiment={stem}"
