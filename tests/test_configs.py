"""Composition: what the command line may say, in which order choices win, and errors in one line."""

import re

import pytest
from hydra.core.global_hydra import GlobalHydra

import vaezoo
from vaezoo import choices, configs, registry
from vaezoo.errors import UsageError

PARTS = registry.GROUPS[1:]


def test_the_defaults_compose_and_need_no_download():
    config = vaezoo.compose()
    assert config.choices.variant == "vae" and config.choices.dataset == "digits"
    assert config.run_dir.startswith("runs/vae-digits/")
    assert config.overrides == [] and "hydra" not in config


def test_a_node_is_the_signature_of_its_class():
    assert vaezoo.compose(["variant=beta_vae"]).variant == {
        "_target_": "vaezoo.variants.beta_vae.BetaVAE",
        "_partial_": True,
        "_convert_": "all",
        "beta": 4.0,
    }


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_option_of_every_group_composes(group):
    for name in choices.options(group):
        try:
            config = vaezoo.compose([f"{group}={name}"])
        except UsageError as error:
            assert re.search(
                "must be given|needs a package that is missing", str(error)
            )  # an argument without a default
        else:
            assert config.choices[group] == name


@pytest.mark.parametrize("group", sorted(set(choices.groups()) - set(registry.GROUPS)))
def test_every_yaml_option_composes(group):
    for name in choices.options(group):
        try:
            assert vaezoo.compose([f"{group}={name}"]).choices[group] == name
        except UsageError as error:
            assert re.search("must be given|needs a package that is missing", str(error))


@pytest.mark.parametrize("group", PARTS)
def test_every_part_group_has_none(group):
    assert vaezoo.compose([f"{group}=none"])[group] == {}


def test_a_schedule_is_accepted_where_the_signature_allows_one():
    schedule = {"linear": {"start": 0, "end": 1, "until": 0.1}}
    config = vaezoo.compose(["variant=beta_vae", "variant.beta={linear:{start:0,end:1,until:0.1}}"])
    assert config.variant.beta == schedule


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Adds a conf folder like that of another package: ``conf({"experiment/x.yaml": text})``."""

    def add(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text)
        folder = lambda: {"vaezoo-other": tmp_path}  # noqa: E731
        for module in (choices, configs):
            monkeypatch.setattr(module, "plugin_dirs", folder)

    return add


def test_experiment_beats_variant_beats_dataset(conf):
    """The later of two ``override`` lines in the defaults list wins, whatever the order on the command line."""
    prior = "override /prior@_global_.prior: {}"
    conf(
        {
            "dataset/z_data.yaml": f"defaults:\n  - digits\n  - {prior.format('mixture')}\n  - _self_\n",
            "experiment/z_one.yaml": "# @package _global_\ndefaults:\n  - override /prior: standard\nlatent: 3\n",
            "experiment/z_two.yaml": "# @package _global_\ndefaults:\n  - override /variant: vamp_vae\n",
        }
    )
    chosen = lambda *overrides: vaezoo.compose(overrides).choices.prior  # noqa: E731
    assert chosen() == "standard"
    assert chosen("dataset=z_data") == "mixture"
    assert chosen("variant=vamp_vae") == "vamp"
    assert chosen("variant=vamp_vae", "dataset=z_data") == chosen("dataset=z_data", "variant=vamp_vae") == "vamp"
    assert chosen("experiment=z_one", "variant=vamp_vae", "dataset=z_data") == "standard"
    assert chosen("experiment=z_two") == "vamp"
    assert chosen("experiment=z_two", "prior=mixture") == "mixture"
    assert vaezoo.compose(["experiment=z_one"]).latent == 3
    assert vaezoo.compose(["experiment=z_one", "latent=4"]).latent == 4


def test_an_option_that_two_packages_define_is_refused(conf):
    conf({"dataset/mnist.yaml": "source: mnist\n"})
    with pytest.raises(UsageError, match="dataset=mnist is defined by both vaezoo and vaezoo-other"):
        vaezoo.compose()


@pytest.mark.parametrize(
    "overrides, message",
    [
        ("variant=beta_vea", "variant=beta_vea is unknown; did you mean 'beta_vae'? (options: "),
        ("dataset=mnits", "dataset=mnits is unknown; did you mean 'mnist'? (options: "),
        ("encodr=mlp", "encodr is not an option; did you mean 'encoder'? (options: "),
        ("sede=1", "sede is not an option; did you mean 'seed'? (options: "),
        (
            "variant=beta_vae variant.bta=4",
            "variant.bta is not an option of variant=beta_vae; did you mean 'beta'? (options: beta)",
        ),
        (
            "variant=beta_vae +variant.bta=4",
            "variant.bta is not an option of variant=beta_vae; did you mean 'beta'? (options: beta)",
        ),
        (
            "variant=beta_vae variant.beta=abc",
            "variant.beta=abc: expected a number or a schedule such as {linear:{start:0,end:1,until:0.1}}, got 'abc'",
        ),
        ("variant=beta_vae variant.beta=null", "variant.beta=null: expected a number or a schedule"),
        ("variant=beta_vae variant.beta.linear=1", "variant.beta is a value: set it whole"),
        ("variant=beta_vae variant.beta={linear:{strt:1}}", "did you mean 'start'?"),
        ("encoder.hidden=3", "encoder.hidden=3: expected a list [an integer], got 3"),
        ("encoder.hidden=[a]", "encoder.hidden=[a]: expected a list [an integer]"),
        ("encoder=none encoder.hidden=[3]", "encoder.hidden is not an option of encoder=none (it has none)"),
        ("dataset.source=3", "dataset.source=3: expected a word, got 3"),
        ("dataset=arrays", "dataset.path must be given for dataset=arrays"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc: expected an integer, got 'abc'"),
        ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5: expected an integer, got 2.5"),
        ("trainer.max_epochs=true", "trainer.max_epochs=true: expected an integer, got True"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0 must be at least 1"),
        ("trainer.max_epoch=3", "trainer.max_epoch is not an option of trainer=default; did you mean 'max_epochs'?"),
        ("+trainer.foo=3", "trainer.foo is not an option of trainer=default"),
        ("trainer.limit_train_batches=1.5", "trainer.limit_train_batches=1.5 must be a share in (0, 1.0] or a number"),
        (
            "hardware.strategy=dpp",
            "hardware.strategy=dpp: expected auto or ddp or fsdp, got 'dpp'; did you mean 'ddp'?",
        ),
        ("optimizer.lr=-1", "optimizer.lr=-1 must be positive"),
        ("optimizer.betas=[0.9]", "optimizer.betas=[0.9] must be two numbers"),
        ("latent=abc", "latent=abc: expected an integer or a list [an integer] or null, got 'abc'"),
        ("latent=0", "latent=0 must be made of sizes of at least 1"),
        ("evaluate.k=-1", "evaluate.k=-1 must be at least 0"),
        ("seed=x", "seed=x: expected an integer, got 'x'"),
        ("~prior", "prior cannot be removed (~prior; options: "),
        ("+variant@foo=vae", "foo is not an option"),
        ("variant=[vae", "cannot read 'variant=[vae'"),
        ("variant", "cannot read 'variant'"),
        ("variant=vae,beta_vae", "variant=vae,beta_vae lists several values: add -m to run one after the other"),
        ("hydra/launcher=nobody seed=1", "hydra/launcher/nobody"),
        ("hydra.swep.dir=x", "hydra.swep is not an option of hydra; did you mean 'sweep'?"),
    ],
)
def test_a_wrong_override_is_one_line_that_says_what_is_allowed(overrides, message):
    with pytest.raises(UsageError) as caught:
        vaezoo.compose(overrides.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_pass_for_numbers_and_lists_for_tuples():
    config = vaezoo.compose(["optimizer.lr=1", "encoder.hidden=[3,4]", "latent=[8,4,4]", "hardware.devices=auto"])
    assert config.encoder.hidden == [3, 4] and config.latent == [8, 4, 4]


def test_every_value_of_a_sweep_is_checked_before_it_starts():
    configs.check_sweep(["variant=vae,beta_vae", "seed=range(0,3)", "likelihood=glob(*)"])
    with pytest.raises(UsageError, match="variant=beta_vea is unknown"):
        configs.check_sweep(["variant=vae,beta_vea", "seed=0,1"])
    with pytest.raises(UsageError, match=r"trainer\.max_epochs=x: expected an integer"):
        configs.check_sweep(["trainer.max_epochs=1,2,x"])


def test_compose_leaves_another_hydra_application_alone():
    import hydra

    with hydra.initialize(version_base="1.3", config_path=None):
        outer = GlobalHydra.instance().hydra
        vaezoo.compose()
        assert GlobalHydra.instance().hydra is outer
        assert hydra.compose(overrides=["+a=1"]) == {"a": 1}
