"""What only a CUDA GPU can show; skipped where there is none."""

import copy
import os
import signal
import subprocess
import sys
from functools import cache

import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

import vaezoo
from tests.conftest import quick_trainer
from vaezoo import cli, registry
from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.build import latent_shape
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.contract.subjects import Recorder, built, digits, narrow, objectives, small, some
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.interruption import Interrupted
from vaezoo.shapes import Shapes
from vaezoo.variational import Variational

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

PARTS = [(group, name) for group in ("posterior", "prior", "likelihood") for name in registry.names(group)]
RELAXED = {"bernoulli": ["likelihood.allow_relaxed=true"]}  # of grey digits
ENDS = ["trainer=debug", "evaluate.k=3", "dataset.batch_size=64", "hardware=gpu"]


@cache
def with_part(group: str, name: str) -> DictConfig:
    """The first configuration that takes this part: a VAE, a VAE with another posterior, another variant."""
    others = [("vae", f"posterior={posterior}") for posterior in registry.names("posterior")]
    for choice in [("vae",), *others, *((variant,) for variant in registry.names("variant"))]:
        try:
            config = narrow(small(*choice, f"{group}={name}", *RELAXED.get(name, ())).copy())
            built(choice[0], config, shapes_of(config))
        except UsageError:
            continue
        return config
    raise AssertionError(f"nothing takes {group}={name}")


def shapes_of(config: DictConfig) -> Shapes:
    return digits(config.choices.variant).shapes(latent_shape(config.latent))


def same_on_the_gpu(config: DictConfig) -> None:
    """Every objective of a model gives, with the same weights and noise, what it gives on the CPU.

    In double precision, in which no code is so near another one that rounding decides between them.
    """
    variant, recorder = config.choices.variant, Recorder()
    model, batch = built(variant, config, shapes_of(config)).double(), some(variant)
    batch = batch._replace(x=batch.x.double())
    there = copy.deepcopy(model).cuda()
    with noise.source(recorder):
        expected = objectives(model, batch)
    draws = iter(recorder.draws)

    class Again:
        def draw(self, kind, shape, dtype, device):
            return next(draws).to(device)

    with noise.source(Again()):
        found = objectives(there, Batch(*(None if value is None else value.cuda() for value in batch)))
    for name, terms in expected.items():
        for term, value in terms.items():
            torch.testing.assert_close(
                found[name][term].cpu(), value, rtol=1e-6, atol=1e-6, msg=lambda text, at=(name, term): f"{at}: {text}"
            )


@pytest.fixture(autouse=True)
def _precision_as_before():
    """What a run sets for its process is undone."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("variant", registry.names("variant"))
def test_a_variant_computes_on_a_gpu_what_it_computes_on_a_cpu(variant) -> None:
    same_on_the_gpu(small(variant))


@pytest.mark.parametrize(("group", "name"), PARTS)
def test_a_part_computes_on_a_gpu_what_it_computes_on_a_cpu(group, name) -> None:
    same_on_the_gpu(with_part(group, name))


def run(tmp_path, *overrides, name="run"):
    config = narrow(vaezoo.compose([*ENDS, *overrides, f"run_dir={tmp_path / name}"]))
    return vaezoo.train(config)


@pytest.mark.parametrize("variant", registry.names("variant"))
def test_a_variant_trains_evaluates_and_loads_on_a_gpu(variant, tmp_path) -> None:
    done = run(tmp_path, f"variant={variant}", f"trainer.max_epochs={len(built(variant).stages)}")
    assert done.results["seconds"] > 0 and (done.path / "model.safetensors").is_file()
    model, batch = vaezoo.load(done.path).cuda(), some(variant)
    if isinstance(model, Autoencoder):
        c = model.condition(Batch(*(value.cuda() for value in batch)))
        assert model.reconstruct(batch.x.cuda(), c).device.type == "cuda"
    if isinstance(model, Variational):
        assert model.sample(len(batch.x), c=c).device.type == "cuda"


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "64-true"])
@pytest.mark.parametrize(
    "variant", ["vae", "iwae", "vamp_vae", "vq_vae", "vae_gan", "factor_vae", "stacked_autoencoder"]
)
def test_a_variant_trains_in_other_precisions(variant, precision, tmp_path) -> None:
    stages = len(built(variant).stages)
    run(tmp_path, f"variant={variant}", f"hardware.precision={precision}", f"trainer.max_epochs={stages}")


@pytest.mark.parametrize("sampler", ["prior", "mixture", "flow", "two_stage", "aggregate"])
def test_samplers_are_fitted_and_judged_on_a_gpu(sampler, tmp_path) -> None:
    done = run(tmp_path, f"evaluate.quality=[{sampler}]", "evaluate.samples=200")
    assert done.results["quality"][sampler]["fid_clf"] > 0


def test_data_in_memory_live_on_the_gpu() -> None:
    data = DataModule("digits", batch_size=64)
    quick_trainer(accelerator="gpu", limit_train_batches=1).fit(built("vae", None, None), datamodule=data)
    assert data.split("train").x.device.type == "cuda"


@pytest.mark.parametrize("variant", ["vae", "vae_gan", "stacked_autoencoder"])
def test_resumed_run_on_a_gpu_equals_the_uninterrupted_one(variant, tmp_path) -> None:
    class Cut(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if pl_module.batches_seen == 7:
                os.kill(os.getpid(), signal.SIGTERM)

    def fit(folder, *callbacks, checkpoint=None):
        model, data = built(variant, seed=checkpoint is not None), DataModule("digits", batch_size=300, val_size=200)
        trainer = quick_trainer(
            accelerator="gpu",
            max_epochs=5,
            deterministic="warn",
            callbacks=[*callbacks, Checkpoints(tmp_path / folder)],
        )
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return model.cpu().state_dict()

    whole = fit("whole")
    with pytest.raises(Interrupted):
        fit("cut", Cut())
    assert all(map(torch.equal, whole.values(), fit("cut", checkpoint=tmp_path / "cut" / "last.ckpt").values()))
    torch.use_deterministic_algorithms(False)


def test_an_ensemble_trains_on_a_gpu(tmp_path) -> None:
    done = run(tmp_path, "hardware.ensemble=3")
    assert len(done.members) == 3


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_process_group_of_one_gpu_trains(strategy, tmp_path) -> None:
    overrides = [*ENDS, f"hardware={strategy}", "hardware.devices=1", f"run_dir={tmp_path / 'run'}"]
    subprocess.run([sys.executable, "-m", "vaezoo", "train", *overrides], check=True)  # with a process group of its own
    assert (tmp_path / "run" / "results.json").is_file()


def test_jobs_of_a_sweep_share_a_gpu(tmp_path) -> None:
    ends = [end for end in ENDS if not end.startswith("hardware")]
    overrides = [*ends, "hardware=local_gpus", "hardware.slots=2", "seed=0,1", f"sweep_dir={tmp_path}"]
    assert cli.main(["train", "-m", *overrides]) in (0, None)
    assert len(list(tmp_path.glob("*/results.json"))) == 2
