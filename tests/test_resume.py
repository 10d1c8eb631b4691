"""A run that is cut and continued ends with the very weights of a run that was not."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EMAWeightAveraging

from tests.conftest import quick_trainer
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.data.datamodule import DataModule
from vaezoo.interruption import Interrupted
from vaezoo.meters import NotFiniteError
from vaezoo.networks import conv, mlp
from vaezoo.posteriors.vq import VQPosterior
from vaezoo.priors.uniform_codes import UniformCodesPrior
from vaezoo.train import AveragedWeights
from vaezoo.variants.geco_vae import GecoVAE
from vaezoo.variants.stacked_autoencoder import StackedAutoencoder
from vaezoo.variants.vae import VAE
from vaezoo.variants.vae_gan import VAEGAN
from vaezoo.variants.vq_vae import VQVAE

EPOCHS, BATCHES = 5, 5  # 1400 digits in batches of 300


class Cut(Callback):
    """Sends SIGTERM, or raises, as batch ``at`` of the run starts."""

    def __init__(self, at: int, error: type[Exception] | None = None) -> None:
        self.at, self.error = at, error

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if pl_module.batches_seen == self.at:
            if self.error:
                raise self.error("cut")
            os.kill(os.getpid(), signal.SIGTERM)


def data() -> DataModule:
    module = DataModule("digits", batch_size=300, val_size=200, binarise="dynamic")
    module.setup()
    return module


def vae(shapes):
    part = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}
    return VAE(shapes=shapes, warmup=0.5, optimizer={"schedule": "cosine", "clip": 1.0}, **part)


def gan(shapes):
    part = {"encoder": partial(conv.Encoder, channels=(8,)), "decoder": partial(conv.Decoder, channels=(8,))}
    return VAEGAN(shapes=shapes, **part)


def stack(shapes):
    return StackedAutoencoder(shapes=shapes, hidden=(16,), greedy=0.5)


def fit(make, folder: Path, callbacks=(), checkpoint=None, **options):
    module = data()
    torch.manual_seed(0 if checkpoint is None else 1)  # the weights that a resumed run starts from do not matter
    model = make(module.shapes((4,)))
    trainer = quick_trainer(max_epochs=EPOCHS, callbacks=[*callbacks, Checkpoints(folder)], **options)
    trainer.fit(model, datamodule=module, ckpt_path=checkpoint, weights_only=True)
    return model


def assert_equal(one, other) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


CUTS = {"mid-epoch": 7, "first batch": 5, "epoch's end": 9, "run's first batch": 0}


@pytest.mark.parametrize("make", [vae, gan, stack])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("validate_every", [1, 2])
def test_resumed_run_equals_the_uninterrupted_one(make, cut, validate_every, tmp_path) -> None:
    options = {"check_val_every_n_epoch": validate_every}
    whole = fit(make, tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        fit(make, tmp_path / "cut", [Cut(cut)], **options)
    assert_equal(whole, fit(make, tmp_path / "cut", checkpoint=tmp_path / "cut" / "last.ckpt", **options))


@pytest.mark.parametrize("cut", [5, 6, 7])
def test_cut_inside_an_accumulation_window_waits_for_its_step(cut, tmp_path) -> None:
    whole = fit(vae, tmp_path / "whole", accumulate_grad_batches=2)
    with pytest.raises(Interrupted):
        fit(vae, tmp_path / "cut", [Cut(cut)], accumulate_grad_batches=2)
    resumed = fit(vae, tmp_path / "cut", checkpoint=tmp_path / "cut" / "last.ckpt", accumulate_grad_batches=2)
    assert_equal(whole, resumed)


def test_resume_with_averaged_weights_is_bit_equal(tmp_path) -> None:
    whole = fit(vae, tmp_path / "whole", [EMAWeightAveraging(decay=0.9)])
    with pytest.raises(Interrupted):
        fit(vae, tmp_path / "cut", [Cut(7), EMAWeightAveraging(decay=0.9)])
    resumed = fit(vae, tmp_path / "cut", [EMAWeightAveraging(decay=0.9)], tmp_path / "cut" / "last.ckpt")
    assert_equal(whole, resumed)


def test_resume_in_bfloat16_is_bit_equal(tmp_path) -> None:
    whole = fit(vae, tmp_path / "whole", precision="bf16-mixed")
    with pytest.raises(Interrupted):
        fit(vae, tmp_path / "cut", [Cut(7)], precision="bf16-mixed")
    resumed = fit(vae, tmp_path / "cut", checkpoint=tmp_path / "cut" / "last.ckpt", precision="bf16-mixed")
    assert_equal(whole, resumed)


def test_an_exception_saves_the_last_finished_batch(tmp_path) -> None:
    whole = fit(vae, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut"):
        fit(vae, tmp_path / "cut", [Cut(8, RuntimeError)])
    assert_equal(whole, fit(vae, tmp_path / "cut", checkpoint=tmp_path / "cut" / "last.ckpt"))


def test_the_best_checkpoint_continues_as_the_run_did(tmp_path) -> None:
    whole = fit(vae, tmp_path / "whole")
    assert_equal(whole, fit(vae, tmp_path / "other", checkpoint=tmp_path / "whole" / "best.ckpt"))


def test_checkpoint_loads_with_weights_only(tmp_path) -> None:
    fit(gan, tmp_path)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert len(checkpoint["optimizer_states"]) == 3


def test_a_term_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path) -> None:
    class Poison(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if pl_module.batches_seen == 12:
                batch.x[0, 0, 0, 0] = float("nan")

    with pytest.raises(NotFiniteError, match=r"distortion became nan at batch 13 .*epoch 2"):
        fit(vae, tmp_path, [Poison()])
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in kept["state_dict"].values())
    assert not any(
        torch.isnan(value).any()
        for file in tmp_path.glob("*.ckpt")
        for value in torch.load(file)["state_dict"].values()
    )


def test_no_draft_of_a_checkpoint_remains(tmp_path) -> None:
    fit(vae, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def geco(shapes):
    part = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}
    return GecoVAE(shapes=shapes, **part)


def codes(shapes):
    part = {"encoder": partial(conv.Encoder, channels=(8, 8)), "decoder": partial(conv.Decoder, channels=(8, 8))}
    learned = {"posterior": partial(VQPosterior, codes=8), "prior": UniformCodesPrior}
    return VQVAE(shapes=shapes.replace(latent=(4, 2, 2)), **part, **learned)


@pytest.mark.parametrize("make", [geco, codes])
@pytest.mark.parametrize("averaged", [False, True])
def test_state_that_no_gradient_moves_is_saved_as_the_batch_leaves_it(make, averaged, tmp_path) -> None:
    def extra() -> list[Callback]:
        return [AveragedWeights(decay=0.9, use_buffers=False)] if averaged else []

    whole = fit(make, tmp_path / "whole", extra())
    with pytest.raises(Interrupted):
        fit(make, tmp_path / "cut", [Cut(7), *extra()])
    assert_equal(whole, fit(make, tmp_path / "cut", extra(), tmp_path / "cut" / "last.ckpt"))


def test_averaged_weights_are_left_where_nothing_remains_to_be_trained(tmp_path) -> None:
    callbacks = [AveragedWeights(decay=0.9, use_buffers=False)]
    whole = fit(vae, tmp_path, callbacks)
    again = fit(vae, tmp_path, [AveragedWeights(decay=0.9, use_buffers=False)], tmp_path / "last.ckpt")
    assert_equal(whole, again)
