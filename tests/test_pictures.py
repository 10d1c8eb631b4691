"""Pictures have the size and the content they should have."""

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

from vaezoo.batch import Batch
from vaezoo.callbacks.draw import COLOURS, grid, scatter
from vaezoo.callbacks.pictures import Pictures, Skipped, latent, reconstructions, samples, traversals, write_pictures
from vaezoo.data.datamodule import DataModule
from vaezoo.shapes import Shapes
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.vae import VAE


@pytest.fixture(scope="module")
def digits() -> DataModule:
    module = DataModule("digits")
    module.setup()
    return module


def test_grid_enlarges_without_smoothing_and_keeps_order():
    x = torch.arange(6).view(6, 1, 1, 1).expand(6, 1, 8, 8) / 5
    picture = grid(x, columns=3)
    assert picture.dtype == np.uint8 and picture.shape[1] >= 400 and picture.shape[2] == 3
    side = (picture.shape[1] - 2) // 3
    centres = [picture[r * side + side // 2, c * side + side // 2, 0] for r in range(2) for c in range(3)]
    assert centres == [0, 51, 102, 153, 204, 255]


def test_grid_maps_the_range_of_the_data_to_black_and_white():
    picture = grid(torch.tensor([-3.0, 0.0, 9.0]).view(3, 1, 1, 1), columns=3, value_range=(-1.0, 1.0))
    assert {0, 128, 255} <= set(np.unique(picture))


def test_reconstructions_stand_below_the_data(digits):
    model = VAE(shapes=digits.shapes((3,))).eval()
    batch = digits.split("test")[:20]
    with torch.no_grad():
        picture = reconstructions(model, batch)
        below = grid(model.reconstruct(batch.x[:10]), 10)
    height = below.shape[0] - 2
    assert np.array_equal(picture[2:height], grid(batch.x[:10], 10)[2:height])
    assert np.array_equal(picture[height + 2 : 2 * height], below[2:height])
    assert picture.shape[0] == 4 * height + 2


def test_traversal_walks_the_dimension_with_the_largest_rate_first(digits):
    model = VAE(shapes=digits.shapes((3,))).eval()
    with torch.no_grad():
        model.posterior.head.weight.zero_()
        model.posterior.head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, -3.0, 0.0]))  # log_std of the second is -3
        seen = []
        model.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        traversals(model, digits.split("test")[:50])
    z = seen[-1].view(3, 11, 3)
    assert z[0, :, 1].unique().numel() == 11 and z[0, :, 0].unique().numel() == 1
    assert z[1, -1, [0, 2]].abs().max() == pytest.approx(2.5, abs=1e-4)
    assert z[0, -1, 1] == pytest.approx(2.5 * np.exp(-3), abs=1e-4)


def test_what_there_is_not_is_skipped_with_a_reason(digits):
    batch = digits.split("test")[:20]
    with pytest.raises(Skipped, match="no prior"):
        samples(Autoencoder(shapes=digits.shapes((3,))), batch)
    with pytest.raises(Skipped, match=r"only \(2,\)"):
        latent(VAE(shapes=digits.shapes((3,))), batch)
    with pytest.raises(Skipped, match="no pictures"):
        vectors = VAE(shapes=Shapes(event=(5,), latent=(2,)))
        reconstructions(vectors, Batch(torch.zeros(10, 5), None, torch.arange(10)))


def test_scatter_uses_one_colour_per_label():
    labels = torch.arange(10).repeat(20)
    picture = scatter(torch.randn(200, 2), labels)
    colours = {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in np.unique(picture.reshape(-1, 3), axis=0)}
    assert set(COLOURS) <= colours


def test_files_are_written_whole_and_the_same_every_time(digits, tmp_path):
    model = VAE(shapes=digits.shapes((2,)))
    drawn = write_pictures(model, digits, tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == {"reconstructions.png", "samples.png", "traversals.png", "latent.png"}
    assert model.training and all(picture.shape[1] >= 400 for picture in drawn.values())
    assert Image.open(tmp_path / "samples.png").size == drawn["samples"].shape[1::-1]
    write_pictures(model, digits, tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_callback_draws_while_a_model_trains(digits, tmp_path):
    callback = Pictures(tmp_path / "pictures", every_n_epochs=1)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        limit_train_batches=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Autoencoder(shapes=digits.shapes((2,))), datamodule=digits)
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"reconstructions", "traversals", "latent"}


def test_a_picture_that_fails_is_one_warning_and_the_others_are_drawn(digits, tmp_path, monkeypatch, capsys):
    def broken(model, batch):
        raise ValueError("no such dimension")

    monkeypatch.setattr("vaezoo.callbacks.pictures.traversals", broken)
    drawn = write_pictures(VAE(shapes=digits.shapes((2,))), digits, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"reconstructions", "samples", "latent"}
    assert drawn["traversals"] == "ValueError: no such dimension"
    warning = "warning: picture traversals cannot be drawn (ValueError: no such dimension)\n"
    assert capsys.readouterr().err == warning
