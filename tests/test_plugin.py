"""A package that `vaezoo new --package` writes is installed and used like any other package's variant."""

import importlib
import subprocess
import sys

import pytest

import vaezoo
from vaezoo import choices, describe, new, registry
from vaezoo.errors import UsageError


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The generated package, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    new.write("my_idea", folder, package=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", folder / "site", folder / "vaezoo-my-idea"], check=True)
    return folder


@pytest.fixture
def plugin(installed, monkeypatch):
    """The folder it was written to, while it is on the path."""
    monkeypatch.syspath_prepend(str(installed / "site"))
    _forget()
    yield installed
    monkeypatch.undo()
    _forget()


def _forget():
    importlib.invalidate_caches()
    registry.entries.cache_clear()
    choices.plugin_dirs.cache_clear()


def test_it_is_listed_and_described_like_the_others(plugin):
    assert "experimental (vaezoo-my-idea)" in describe.listing()
    assert "variant.weight: float | Schedule = 2.0" in describe.page("my_idea")
    assert "my_idea_digits" in choices.options("experiment")


def test_it_composes_with_checked_options_and_its_own_experiment(plugin):
    config = vaezoo.compose(["experiment=my_idea_digits", "variant.weight=3"])
    assert config.choices.variant == "my_idea" and config.variant.weight == 3
    with pytest.raises(UsageError, match=r"variant\.wieght is not an option of variant=my_idea; did you mean 'weight'"):
        vaezoo.compose(["variant=my_idea", "variant.wieght=3"])


def test_it_trains_and_keeps_the_contract(plugin, tmp_path):
    overrides = ["variant=my_idea", "trainer=debug", "evaluate.k=0", "callbacks=none", f"run_dir={tmp_path / 'run'}"]
    run = vaezoo.train(vaezoo.compose(overrides))
    assert type(run.model).__name__ == "MyIdea"
    assert type(vaezoo.load(run.path)).__name__ == "MyIdea"
    check = pytest.importorskip("vaezoo.contract").check_variant
    check("my_idea")


def test_without_the_package_the_variant_is_unknown(installed):
    with pytest.raises(UsageError, match="variant=my_idea is unknown"):
        vaezoo.compose(["variant=my_idea"])


def test_the_variant_alone_is_one_file_of_few_lines(tmp_path):
    assert "vaezoo.variants" in new.write("my_idea", tmp_path)
    source = (tmp_path / "my_idea.py").read_text()
    body = source[source.index("def __init__") :]
    assert len(body.splitlines()) <= 15
    with pytest.raises(UsageError, match=r"my_idea\.py exists already"):
        new.write("my_idea", tmp_path)
