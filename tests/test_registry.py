"""The registry: names from folders and entry points, and what it says when something is wrong."""

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

import vaezoo
from vaezoo import choices, describe, registry
from vaezoo.errors import UsageError

ALL = [(group, name) for group in registry.GROUPS for name in registry.names(group)]
PLUGIN = '''
from vaezoo import Variational, register

@register(paper="Nobody, 2026", family="gaussian", limits={"vae": {}})
class Mine(Variational):
    """A variant of another package."""
    def __init__(self, strength: float = 2.0, **parts): super().__init__(**parts)
    def terms(self, batch): return self.elbo(batch.x)
'''


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Installs packages that exist only as entry points: ``plugins({module: source}, (dist, name, target), ...)``."""

    class Distribution:
        def __init__(self, name):
            self.name = name

    def install(sources, *declared):
        for module, source in sources.items():
            (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        points = [
            importlib.metadata.EntryPoint(name, target, "vaezoo.variants")._for(Distribution(dist))
            for dist, name, target in declared
        ]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [p for p in points if p.group == group])
        clear()

    def clear():
        registry.entries.cache_clear()
        choices.plugin_dirs.cache_clear()

    yield install
    monkeypatch.undo()
    clear()


def test_names_are_the_stems_of_files_with_a_class():
    assert {"vae", "beta_vae", "vamp_vae"} <= set(registry.names("variant"))
    assert {"mlp", "conv"} <= set(registry.names("encoder")) & set(registry.names("decoder"))
    assert "layers" not in registry.names("encoder")  # a file without an Encoder
    assert registry.find("variant", "beta_vae").target == "vaezoo.variants.beta_vae:BetaVAE"


@pytest.mark.parametrize("group, name", ALL)
def test_the_card_read_from_source_is_the_card_of_the_class(group, name):
    assert registry.card(group, name) == getattr(registry.load(group, name), "card", registry.Card())


def test_status_says_how_far_a_variant_is_checked():
    assert registry.Card().status == "experimental"
    assert registry.Card(identities=("test_x",)).status == "verified"
    assert registry.Card(identities=("test_x",), reproduces=("vae_mnist",)).status == "reproduced"


def test_unknown_names_are_told_with_the_nearest_and_all_others():
    with pytest.raises(UsageError, match=r"variant=beta_vea is unknown; did you mean 'beta_vae'\? \(options: .*vae"):
        registry.find("variant", "beta_vea")


def test_nothing_is_imported_to_list_what_there_is():
    code = (
        "import sys, vaezoo; from vaezoo import choices, describe, registry;"
        "describe.listing(); describe.page('beta_vae');"
        "[describe.listing(g) for g in registry.GROUPS]; [choices.options(g) for g in choices.groups()];"
        "sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_plugin_is_listed_described_and_loaded(plugins):
    plugins({"vz_mine": PLUGIN}, ("vaezoo-mine", "mine", "vz_mine:Mine"))
    assert registry.card("variant", "mine").paper == "Nobody, 2026"
    assert describe.signature("variant", "mine") == [("strength", "float", "2.0")]
    assert "vz_mine" not in sys.modules
    assert "vaezoo-mine" in describe.listing()
    assert registry.load("variant", "mine").__name__ == "Mine"


def test_a_class_that_a_package_imports_into_its_top_is_found(plugins, tmp_path):
    (tmp_path / "vz_pack").mkdir()
    (tmp_path / "vz_pack" / "model.py").write_text(PLUGIN)
    (tmp_path / "vz_pack" / "__init__.py").write_text("from .model import Mine as Ours\n")
    plugins({}, ("vaezoo-pack", "ours", "vz_pack:Ours"))
    assert registry.card("variant", "ours").family == "gaussian"


@pytest.mark.parametrize(
    "source, reason",
    [
        ("import vz_there_is_no_such_package\n" + PLUGIN, "No module named 'vz_there_is_no_such_package'"),
        ("class Mine(:\n", "SyntaxError"),
        ("raise ImportError('needs a newer torch')\n" + PLUGIN, "needs a newer torch"),
        ("", "vz_broken has no Mine"),
    ],
)
def test_a_broken_plugin_is_named_and_leaves_the_others_alone(plugins, source, reason):
    plugins({"vz_broken": source}, ("vaezoo-broken", "broken", "vz_broken:Mine"))
    row = next(line for line in describe.listing().splitlines() if line.startswith("broken"))
    assert "broken (vaezoo-broken)" in row and reason in row
    assert registry.load("variant", "vae").__name__ == "VAE"
    assert vaezoo.compose(["variant=vae"]).choices.variant == "vae"
    with pytest.raises(UsageError, match="variant=broken of vaezoo-broken cannot be used"):
        vaezoo.compose(["variant=broken"])


def test_a_plugin_that_fails_only_when_imported_is_one_error(plugins):
    plugins({"vz_late": PLUGIN + "\n1 / 0\n"}, ("vaezoo-late", "late", "vz_late:Mine"))
    with pytest.raises(UsageError, match=r"variant=late of vaezoo-late cannot be imported \(ZeroDivisionError"):
        vaezoo.compose(["variant=late"])


@pytest.mark.parametrize("name, rival", [("beta_vae", "vaezoo"), ("mine", "vaezoo-one")])
def test_two_packages_with_one_name_are_both_named(plugins, name, rival):
    plugins(
        {"vz_one": PLUGIN, "vz_two": PLUGIN}, ("vaezoo-one", "mine", "vz_one:Mine"), ("vaezoo-two", name, "vz_two:Mine")
    )
    with pytest.raises(UsageError, match=rf"both {rival} \(.*\) and vaezoo-two \(vz_two:Mine\)"):
        registry.find("variant", name)
    assert "broken" in describe.listing()
    assert registry.find("variant", "vae").broken is None


def test_public_names_resolve_and_train_is_the_function():
    for name in vaezoo.__all__:
        assert getattr(vaezoo, name) is not None
    importlib.import_module("vaezoo.train")
    assert callable(vaezoo.train)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = vaezoo.trian
