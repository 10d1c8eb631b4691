"""Data as people have them: picture folders, arrays, labels and tables of every kind, read exactly or refused."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from scipy.io import savemat

import vaezoo
from vaezoo import identity
from vaezoo.build import build, settle
from vaezoo.callbacks.draw import scatter
from vaezoo.data import datamodule, say
from vaezoo.data.datamodule import DataModule
from vaezoo.data.mapped import Mapped
from vaezoo.data.standardise import Scale
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.explore.explorer import Explorer

RNG = np.random.default_rng(0)
X = RNG.random((60, 7)).astype("float32")
COLOUR = RNG.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
QUICK = [
    "trainer.max_epochs=1",
    "trainer.progress_bar=false",
    "evaluate.k=2",
    "latent=2",
    "callbacks.checkpoints=false",
]


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    datamodule._cache.clear()
    say._said.clear()
    monkeypatch.chdir(tmp_path)


def ready(source, **options):
    data = DataModule(source, **options)
    data.setup()
    return data


def arrays(options=None, **held):
    np.savez("a.npz", **held)
    return ready("arrays", path="a.npz", **(options or {}))


def everything(data, splits=("train", "val", "test")):
    return torch.cat([data.split(name)[:].x for name in splits])


def picture(path, pixels, mode=None, **options):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path, **options)


def folder(root, count=12, size=(4, 4), channels=3):
    for k in range(count):
        pixels = RNG.integers(0, 256, size if channels == 1 else (*size, channels), dtype=np.uint8)
        picture(Path(root) / f"{k:02}.png", pixels)


# -- picture folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_and_the_scale_is_named(name, capsys):
    values = np.array([[0, 128, 129], [30_000, 50_000, 65_535]], "uint16")
    for k in range(3):
        picture(f"p/{k}{name}", values)
    x = ready("image_folder", root="p").split("test")
    assert x[:].x.mul(255).round().int().tolist()[0] == [[[0, 0, 1], [117, 195, 255]]]
    assert "values 0 to 65535 are scaled to levels 0 to 255" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["int32", "float32"])
def test_thirty_two_bits_need_their_range_and_are_never_clipped(kind, capsys):
    for k in range(3):
        picture(f"p/{k}.tif", np.array([[-4, 0], [1, 16]], kind))
    with pytest.raises(UsageError, match=r"tif has 32 bits and values in \[-4, 16\]: set dataset.levels="):
        ready("image_folder", root="p")
    with pytest.raises(UsageError, match=r"values in \[-4, 16\], outside of dataset.levels=\[0,16\]"):
        ready("image_folder", root="p", levels=[0, 16])
    data = ready("image_folder", root="p", levels=[-4, 16])
    assert everything(data)[0].mul(255).round().int().tolist() == [[[0, 51], [64, 255]]]
    assert "values -4 to 16" in capsys.readouterr().err


def test_transparent_pixels_show_the_background(capsys):
    rgba = np.full((2, 2, 4), 10, np.uint8)
    rgba[..., 3] = [[0, 255], [0, 51]]
    for k in range(3):
        picture(f"p/{k}.png", rgba)
    for background, levels in (("white", [255, 10, 255, 206]), ("#204060", [32, 10, 32, 28])):
        data = ready("image_folder", root="p", background=background)
        assert everything(data)[0, 0].flatten().mul(255).round().int().tolist() == levels
    assert capsys.readouterr().err.count("composed over white") == 1
    with pytest.raises(UsageError, match=r"dataset.background=whit: must be a colour"):
        ready("image_folder", root="p", background="whit")


def test_grey_and_palette_pictures_with_transparency():
    grey = np.array([[7, 0], [9, 0]], np.uint8)
    for k in range(3):
        Path("p").mkdir(exist_ok=True)
        Image.merge("LA", [Image.fromarray(grey), Image.fromarray(np.array([[255, 0], [255, 0]], np.uint8))]).save(
            f"p/{k}.png"
        )
    data = ready("image_folder", root="p")
    assert everything(data)[0].mul(255).round().int().tolist() == [[[7, 255], [9, 255]]]


def test_pictures_keep_their_channels_and_size(capsys):
    folder("grey", size=(20, 30), channels=1)
    assert ready("image_folder", root="grey").shapes((2,)).event == (1, 20, 30)
    assert "grey: 12 pictures; no classes; 1x20x30" in capsys.readouterr().err
    folder("mixed/a", channels=1)
    folder("mixed/b")
    assert ready("image_folder", root="mixed").shapes((2,)).event == (3, 4, 4)
    assert "12 of 24 pictures are grey and become colour" in capsys.readouterr().err
    Image.open("grey/00.png").convert("P").save("grey/00.gif")
    assert ready("image_folder", root="grey", in_memory=True, test_size=2).shapes((2,)).event == (1, 20, 30)


def test_sizes_are_compared_as_the_pictures_are_shown():
    folder("p", 3, (4, 6))
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    picture("p/turned.jpg", RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8), exif=exif)
    assert ready("image_folder", root="p").shapes((2,)).event == (3, 4, 6)
    picture("p/z.png", COLOUR[0])
    datamodule._cache.clear()
    with pytest.raises(UsageError, match=r"z.png has 8x8 pixels, 00.png has 6x4: set dataset.resize"):
        ready("image_folder", root="p")


def test_hidden_files_and_folders_without_pictures_are_not_data(capsys):
    for name in ("cat", "dog", ".git", "__MACOSX", ".ipynb_checkpoints"):
        folder(f"p/{name}", 6)
    Path("p/empty/deep").mkdir(parents=True)
    Path("p/cat/._00.png").write_bytes(b"\0\5\26\7Mac OS X")
    Path("p/.DS_Store").write_bytes(b"\0\0\0\1Bud1")
    folder("p/dog/.thumbs", 2)
    data = ready("image_folder", root="p")
    assert data.label_names == ("cat", "dog") and len(everything(data)) == 12
    assert "p: 12 pictures; 2 classes (cat, dog); 3x4x4" in capsys.readouterr().err


def test_links_to_folders_are_followed_once():
    folder("elsewhere/emus", 5)
    folder("p/cat/deep/deeper", 4)
    Path("p/emu").symlink_to(Path("elsewhere/emus").absolute())
    Path("p/again").symlink_to(Path("p/cat").absolute())
    Path("p/cat/loop").symlink_to(Path("p").absolute())
    Path("p/self").symlink_to(Path("p").absolute())
    data = ready("image_folder", root="p")
    assert data.label_names == ("cat", "emu") and len(everything(data)) == 9


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("train", "val", "test"), (5, 3, 2)),
        (("Train", "valid", "TEST"), (5, 3, 2)),
        (("training", "validation", "testing"), (5, 3, 2)),
        (("train", "dev"), (4, 3, 1)),
        (("train", "Val"), (4, 3, 1)),
        (("Train", "Testing"), (4, 1, 3)),
        (("train",), (3, 1, 1)),
    ],
)
def test_splits_are_known_by_their_usual_names(names, sizes, capsys):
    for name, count in zip(names, (5, 3, 2), strict=False):
        folder(f"p/{name}/a", count - 1)
        folder(f"p/{name}/b", 1)
    data = ready("image_folder", root="p")
    assert tuple(len(data.split(name)) for name in ("train", "val", "test")) == sizes
    assert data.label_names == ("a", "b") and len(everything(data)) == sum((5, 3, 2)[: len(names)])
    assert "5 train" in capsys.readouterr().err


def test_splits_that_are_unclear_or_unused_are_named(capsys):
    for name in ("train/a", "val/a", "valid/a"):
        folder(f"p/{name}", 2)
    with pytest.raises(UsageError, match=r"p has several folders of the val split: val, valid"):
        ready("image_folder", root="p")
    for name in ("train/a", "val/a", "extra/a"):
        folder(f"q/{name}", 4)
    folder("q", 2)
    ready("image_folder", root="q")
    assert "not used: extra, 2 pictures beside the splits" in capsys.readouterr().err
    for name in ("test", "cat"):  # a class may be called test
        folder(f"r/{name}", 4)
    assert ready("image_folder", root="r").label_names == ("cat", "test")


# -- names and layouts of arrays -------------------------------------------------------------------------------------


def test_only_the_arrays_that_are_asked_for_are_read(capsys):
    factors = np.array({"latents_sizes": 3}, dtype=object)
    held = {"metadata": factors, "imgs": COLOUR[..., 0] > 99, "latents": np.arange(60) % 3}
    data = arrays({"x": "imgs", "y": "latents"}, **held)
    assert data.shapes((2,)).classes == 3 and data.shapes((2,)).support == "binary"
    assert "train from imgs and latents; not used: metadata" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"dataset.x=x: a.npz holds metadata, imgs, latents"):
        arrays(**held)
    with pytest.raises(UsageError, match=r"dataset.y=latent: a.npz holds .*; did you mean 'latents'\?"):
        arrays({"x": "imgs", "y": "latent"}, **held)
    with pytest.raises(UsageError, match=r"array metadata of a.npz cannot be read: it must hold plain arrays"):
        arrays({"x": "metadata"}, **held)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("x", "y", "x_val", "y_val", "x_test", "y_test"), {}),
        (("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test"), {}),
        (("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test"), {"x": "x_train"}),
        (("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"), {}),
    ],
)
def test_layouts_of_keras_and_medmnist_are_known(names, options, capsys):
    pictures, labels = [COLOUR[:30], COLOUR[30:40], COLOUR[40:]], [np.arange(n)[:, None] % 5 for n in (30, 10, 20)]
    held = dict(zip(names[::2], pictures, strict=True)) | dict(zip(names[1::2], labels, strict=True))
    data = arrays(options, **held)
    for split, stored, y in zip(("train", "val", "test"), pictures, labels, strict=True):
        batch = data.split(split)[:]
        found = sorted(
            (bytes(x), int(k)) for x, k in zip(batch.x.mul(255).round().byte().numpy(), batch.y, strict=True)
        )
        assert found == sorted(
            (bytes(x), int(k[0])) for x, k in zip(stored.transpose(0, 3, 1, 2).copy(), y, strict=True)
        )
    said = capsys.readouterr().err
    assert all(name in said for name in names) and "not used" not in said


def test_a_split_without_the_labels_of_the_others_is_refused():
    with pytest.raises(UsageError, match=r"there are labels y and none of x_test: add them, or set dataset.y=null"):
        arrays(x=X, y=np.arange(60), x_test=X)
    assert arrays({"y": None}, x=X, y=np.arange(60), x_test=X).split("test").y is None


@pytest.mark.parametrize(("x", "x_test"), [(X, COLOUR[..., 0]), (COLOUR[..., 0], X), (COLOUR > 99, COLOUR)])
def test_splits_on_different_scales_are_refused(x, x_test):
    shape = (60, -1)
    with pytest.raises(UsageError, match=r"array x is \w+ and x_test is \w+: they must be on one scale"):
        arrays(x=x.reshape(shape), x_test=x_test.reshape(shape))


def test_binary_splits_of_different_types_are_one_scale():
    data = arrays(x=(COLOUR > 99), x_test=(COLOUR > 99).astype("float32"))
    assert data.shapes((2,)).support == "binary" and torch.equal(data.split("test").x.unique(), torch.tensor([0, 255]))


@pytest.mark.parametrize(
    ("shape", "channels", "event"),
    [
        ((60, 4, 4, 3), None, (3, 4, 4)),
        ((60, 3, 4, 4), None, (3, 4, 4)),
        ((60, 2, 9, 9), None, (2, 9, 9)),
        ((60, 9, 9, 4), None, (4, 9, 9)),
        ((60, 4, 4, 1), None, (1, 4, 4)),
        ((60, 3, 8, 3), "last", (3, 3, 8)),
        ((60, 3, 8, 3), "first", (3, 8, 3)),
        ((60, 8, 8, 9), "last", (9, 8, 8)),
        ((60, 2, 50), "first", (2, 50)),
        ((60, 50, 2), "last", (2, 50)),
    ],
)
def test_where_the_channels_are(shape, channels, event):
    x = RNG.integers(0, 256, shape, dtype=np.uint8)
    data = arrays({"channels": channels}, x=x)
    assert data.shapes((2,)).event == event
    moved = x if event == shape[1:] else np.moveaxis(x, -1, 1)
    stored = everything(data).mul(255).round().byte().numpy()
    assert sorted(map(bytes, stored)) == sorted(bytes(row.copy()) for row in moved)


@pytest.mark.parametrize("shape", [(60, 3, 8, 3), (60, 4, 9, 2), (60, 1, 1, 3)])
def test_ambiguous_channels_are_refused(shape):
    with pytest.raises(
        UsageError, match=r"both axis 1 and axis 3 can be the channels.*dataset.channels to first or last"
    ):
        arrays(x=np.zeros(shape, np.uint8))


def test_signals_train_and_are_not_taken_for_pictures():
    np.savez("s.npz", x=RNG.normal(size=(60, 2, 50)))
    run = ["dataset=arrays", "dataset.path=s.npz", *QUICK]
    with pytest.raises(UsageError, match=r"float pictures in .*for signals \[N, C, T\] set dataset.channels=first"):
        vaezoo.train(vaezoo.compose([*run, "run_dir=a"]))
    done = vaezoo.train(vaezoo.compose([*run, "dataset.channels=first", "run_dir=b"]))
    assert done.model.reconstruct(torch.zeros(3, 2, 50)).shape == (3, 2, 50) and np.isfinite(done.results["nll"])


# -- values that no array may have -----------------------------------------------------------------------------------


def npz(**held):
    def write():
        np.savez("a.npz", **held)
        return "a.npz"

    return write


def pt(held):
    def write():
        torch.save(held, "a.pt")
        return "a.pt"

    return write


def header(suffix):
    def write():
        import zipfile

        with open("x.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 8)})
        if suffix == ".npz":
            with zipfile.ZipFile("x.npz", "w") as held:
                held.write("x.npy")
        return f"x{suffix}"

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (npz(x=np.float32(3)), r"array x has shape \(\): must be \[N, D\]"),
        (npz(x=X, y=np.int64(3)), r"array y has shape \(\): labels must be"),
        (npz(x=np.zeros((60, 0), "float32")), r"array x has shape \(60, 0\): must be"),
        (npz(x=X, y=np.zeros((60, 0))), r"array y has shape \(60, 0\): labels must be"),
        (
            npz(x=np.full((9, 2), 1e39)),
            r"array x holds 1e\+39 at index \(0, 0\): every value must be finite in float32",
        ),
        (npz(x=X + 1j), r"array x is complex64: must be uint8, bool or float"),
        (npz(x=X, y=np.arange(60).astype("datetime64[s]")), r"array y is datetime64\[s\]: labels must be"),
        (npz(x=X, y=np.array([b"a", b"\xe9"] * 30)), r"array y holds text that is not UTF-8"),
        (npz(x=X, y=np.array(["a"] * 50)), r"array y has 50 labels for 60 examples of x"),
        (npz(x=X, y=np.arange(60), x_test=X, y_test=X[:, 0]), r"the splits have labels of different kinds: y is int64"),
        (pt({0: torch.ones(3)}), r"a.pt must hold a tensor or a dict of tensors whose keys are names"),
        (pt([1, 2]), r"a.pt must hold a tensor or a dict"),
        (pt({"x": torch.eye(60).to_sparse()}), r"array x is a sparse tensor: store x.to_dense\(\)"),
        (pt({"x": [1.0, 2.0]}), r"array x is list: must be a tensor"),
        (header(".npz"), r"array x of x.npz cannot be read: .*asks for 32000000000000 bytes"),
        (header(".npy"), r"x.npy cannot be read"),
    ],
)
def test_arrays_that_cannot_be_data_are_one_sentence(write, message):
    with pytest.raises(UsageError, match=message) as error:
        ready("arrays", path=write())
    assert "\n" not in str(error.value)


def test_half_precision_tensors_are_read_exactly():
    x = torch.randn(60, 5).bfloat16()
    torch.save({"x": x}, "a.pt")
    assert sorted(everything(ready("arrays", path="a.pt")).tolist()) == sorted(x.float().tolist())


# -- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (np.array(["dog", "cat", "emu"] * 20), ("cat", "dog", "emu")),
        (np.array([b"dog", b"cat", b"emu"] * 20), ("cat", "dog", "emu")),
        (np.array([1, -1] * 30), ("-1", "1")),
        (np.array([10**12, 7, 0] * 20), ("0", "7", "1000000000000")),
        (np.array([2**63 + 5, 7] * 30, "uint64"), ("7", str(2**63 + 5))),
        (np.array([True, False] * 30), ("False", "True")),
        (np.array([[3], [4]] * 30), ("3", "4")),
        (np.array([1, 0, 2] * 20), None),
        (np.arange(-3, 4).repeat(9)[:60], tuple(map(str, range(-3, 4)))),
    ],
)
def test_labels_are_numbered_and_their_names_kept(y, names):
    data = arrays(x=X, y=y)
    assert data.label_names == names
    found = {
        bytes(x): int(k)
        for split in ("train", "val", "test")
        for x, k in zip(*map(lambda t: t.numpy(), data.split(split)[:][:2]), strict=True)
    }
    shown = [name.decode() if isinstance(name, bytes) else str(name) for name in y.reshape(-1).tolist()]
    assert [names[found[bytes(x)]] if names else str(found[bytes(x)]) for x in X] == shown
    assert data.shapes((2,)).classes == len(set(shown))


def test_labels_of_all_splits_are_numbered_together():
    data = arrays(x=X, y=np.array(["a", "c"] * 30), x_test=X[:4], y_test=np.array(["b", "a", "c", "d"]))
    assert data.label_names == ("a", "b", "c", "d") and data.split("test").y.tolist() == [1, 0, 2, 3]


@pytest.mark.parametrize(("hidden", "y"), [(-1, np.array([-1, 0, 1] * 20)), ("?", np.array(["?", "a", "b"] * 20))])
def test_a_hidden_label_is_hidden_only_where_it_is_declared(hidden, y):
    assert arrays(x=X, y=y).shapes((2,)).classes == 3
    data = arrays({"hidden_label": hidden}, x=X, y=y)
    labels = torch.cat([data.split(name).y for name in ("train", "val", "test")])
    assert (labels == -1).sum() == 20 and data.shapes((2,)).classes == 2
    with pytest.raises(UsageError, match=r"dataset.hidden_label=b?.*: no label of y is"):
        arrays({"hidden_label": "nothing"}, x=X, y=y)


def test_labels_below_the_hidden_one_are_refused():
    with pytest.raises(UsageError, match=r"array y holds the label -3: must be at least 0, or -1 for hidden"):
        arrays({"hidden_label": -1}, x=X, y=np.arange(60) % 7 - 3)
    with pytest.raises(UsageError, match=r"dataset.hidden_label=-1: every label of y is hidden"):
        arrays({"hidden_label": -1}, x=X, y=np.full(60, -1))
    with pytest.raises(UsageError, match=r"dataset.hidden_label=-1: there are no labels"):
        arrays({"hidden_label": -1}, x=X)


@pytest.mark.parametrize("kind", ["float64", "int32", "bool"])
def test_one_hot_labels_are_classes_and_condition(kind, capsys):
    classes = np.arange(60) % 3
    np.savez("a.npz", x=X, y=np.eye(3)[classes].astype(kind))
    run = vaezoo.train(vaezoo.compose(["dataset=arrays", "dataset.path=a.npz", "variant=cvae", *QUICK, "run_dir=r"]))
    assert run.model.shapes.condition == (3,) and "labels y: one-hot, 3 classes" in capsys.readouterr().err
    data = vaezoo.load_data("r")
    found = {
        bytes(x.numpy()): int(y)
        for name in ("train", "val", "test")
        for x, y in zip(*data.split(name)[:][:2], strict=True)
    }
    assert [found[bytes(x)] for x in X] == classes.tolist()


def test_floats_and_several_columns_stay_numbers():
    assert arrays(x=X, y=X[:, 0]).shapes((2,)).label == (1,)
    assert arrays(x=X, y=np.arange(120).reshape(60, 2)).shapes((2,)).label == (2,)


def test_names_of_classes_are_recorded_and_shown():
    np.savez("a.npz", x=COLOUR, y=np.array(["cat", "a class with a very long name indeed"] * 30))
    config = vaezoo.compose(["dataset=arrays", "dataset.path=a.npz", "variant=cvae", *QUICK, "run_dir=r"])
    run = vaezoo.train(config)
    names = ["a class with a very long name indeed", "cat"]
    assert json.loads(Path("r/run.json").read_text())["data"]["label_names"] == names
    assert Explorer(run.model, vaezoo.load_data("r")).about()["label_names"] == tuple(names)
    assert Image.open("r/pictures/latent.png").width > scatter(torch.zeros(4, 2), torch.zeros(4).long()).shape[1]


# -- standardising ---------------------------------------------------------------------------------------------------

SCALES = RNG.normal(size=(300, 3)) * np.array([1e-3, 1.0, 1e4]) + np.array([5.0, 0.0, 1e5])


def test_columns_are_standardised_by_the_training_examples(capsys):
    plain = arrays(x=SCALES)
    assert "differ by a factor of 1e+07: dataset.standardise=true would" in capsys.readouterr().err
    data = arrays({"standardise": True}, x=SCALES)
    x = data.split("train")[:].x
    assert torch.allclose(x.mean(0), torch.zeros(3), atol=1e-3) and torch.allclose(x.std(0), torch.ones(3), atol=1e-2)
    for name in ("train", "val", "test"):
        assert torch.allclose(data.scale.undo(data.split(name)[:].x), plain.split(name)[:].x, rtol=1e-5, atol=1e-6)
    assert "standardise" not in capsys.readouterr().err and data.shapes((2,)).support == "real"
    assert data.shapes((2,)).range == (float(x.min()), float(x.max()))


def test_signals_are_standardised_by_channel_and_constant_columns_are_left():
    x = RNG.normal(size=(60, 2, 50)) * np.array([[3.0], [40.0]])
    data = arrays({"standardise": True, "channels": "first"}, x=x)
    assert torch.allclose(data.split("train")[:].x.std((0, 2)), torch.ones(2), atol=1e-3)
    assert data.scale.log_volume((2, 50)) == pytest.approx(50 * float(data.scale.deviation.log().sum()))
    constant = arrays({"standardise": True}, x=np.stack([np.full(60, 0.1), SCALES[:60, 2]], 1))
    assert constant.scale.deviation[0] == 1 and constant.split("train")[:].x[:, 0].abs().max() < 1e-7
    for held in ({"x": COLOUR}, {"x": X}):
        with pytest.raises(
            UsageError, match=r"dataset.standardise=true needs real vectors or signals; arrays has none"
        ):
            arrays({"standardise": True}, **held)


def test_likelihoods_of_standardised_data_are_those_of_the_data():
    data = arrays({"standardise": True}, x=SCALES)
    config = vaezoo.compose(["dataset=arrays", "dataset.path=a.npz", "likelihood=gaussian", "latent=2"])
    model = build(config, data.shapes((2,)))
    by_hand = {name: data.split(name)[:].x.numpy() for name in ("train", "val", "test")}
    hand = arrays(**{"x" if name == "train" else f"x_{name}": x for name, x in by_hand.items()})
    ours, theirs = evaluate(model, data, k=5, progress=False), evaluate(model, hand, k=5, progress=False)
    volume = float(np.log(data.scale.deviation.double().numpy()).sum())
    assert ours["nll"] == pytest.approx(theirs["nll"] + volume, abs=1e-3)
    assert ours["elbo"] == pytest.approx(theirs["elbo"] - volume, abs=1e-3)
    assert ours["distortion"] == pytest.approx(theirs["distortion"] + volume, abs=1e-3)
    assert ours["rate"] == theirs["rate"] and ours["nll_standard_error"] == theirs["nll_standard_error"]
    x = data.split("test")[:].x
    undone = [data.scale.undo(t.detach()) for t in (x, model.reconstruct(x))]
    assert ours["squared_error"] == pytest.approx(float((undone[0] - undone[1]).square().sum(1).mean()), rel=1e-4)


def test_samples_of_a_standardised_run_are_in_units_of_the_data():
    from vaezoo.samplers.write import sample_run

    np.savez("a.npz", x=SCALES)
    run = ["dataset=arrays", "dataset.path=a.npz", "dataset.standardise=true", *QUICK, "run_dir=r"]
    vaezoo.train(vaezoo.compose(run))
    units = json.loads(Path("r/run.json").read_text())["data"]["standardised"]
    drawn = np.load(sample_run(Path("r"), n=400))
    assert np.allclose(drawn.mean(0), Scale.read(units).mean, atol=Scale.read(units).deviation.numpy())
    assert (np.abs(drawn[:, 2] - 1e5) < 1e5).all() and drawn[:, 2].std() > 10


def test_a_file_that_is_written_again_is_read_again():
    assert arrays(x=X).shapes((2,)).event == (7,) and arrays(x=SCALES).shapes((2,)).event == (3,)


# -- arrays on disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [SCALES.astype("float32"), COLOUR, COLOUR > 99, COLOUR[..., 0] / 255])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_array_on_disk_equals_the_array_in_memory(array, workers):
    np.save("a.npy", array)
    options = {"path": "a.npy", "batch_size": 7, "standardise": array.ndim == 2, "workers": workers}
    memory, disk = ready("arrays", in_memory=True, **options), ready("arrays", in_memory=False, **options)
    assert isinstance(disk.split("train").x, Mapped) and isinstance(memory.split("train").x, torch.Tensor)
    assert disk.shapes((2,)).support == memory.shapes((2,)).support
    assert np.allclose(disk.shapes((2,)).mean, memory.shapes((2,)).mean, atol=1e-5)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for a, b in zip(getattr(memory, loader)(), getattr(disk, loader)(), strict=True):
            assert torch.allclose(a.x, b.x, atol=1e-5) and torch.equal(a.index, b.index)
    low, high = disk.shapes((2,)).range
    assert low <= memory.shapes((2,)).range[0] + 1e-5 and memory.shapes((2,)).range[1] - 1e-5 <= high


def test_arrays_of_fortran_order_are_read_as_any_other():
    np.save("a.npy", np.asfortranarray(SCALES))
    assert sorted(everything(ready("arrays", path="a.npy", in_memory=False)).tolist()) == sorted(
        SCALES.astype("float32").tolist()
    )


def test_the_checksum_of_an_array_on_disk_follows_its_content():
    np.save("a.npy", COLOUR)
    options = {"path": "a.npy", "in_memory": False}
    first = ready("arrays", **options).checksum
    datamodule._cache.clear()
    assert ready("arrays", **options).checksum == first
    other = COLOUR.copy()
    other[33, 1, 1, 1] ^= 1
    np.save("a.npy", other)
    datamodule._cache.clear()
    assert ready("arrays", **options).checksum != first


def test_an_array_on_disk_never_comes_into_memory():
    rows = np.lib.format.open_memmap("a.npy", "w+", "float32", (100_000, 784))  # 0.3 GB without blocks on the disk
    rows[::25_000] = RNG.normal(size=784)
    rows.flush()
    script = """
import resource, vaezoo.data.arrays
from vaezoo.data.datamodule import DataModule
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
data = DataModule("arrays", path="a.npy", in_memory=False, batch_size=1024)
data.setup()
data.checksum
count = sum(len(batch.x) for batch in data.train_dataloader())
print(count, (peak() - before) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == 81_000 and grown < 200e6


# -- other files -----------------------------------------------------------------------------------------------------


def test_matlab_hdf5_and_amat_files():
    y = np.arange(60) % 4
    savemat("a.mat", {"x": X, "y": y[None], "text": "ignored"})
    with h5py.File("b.mat", "w", userblock_size=512) as held:  # as MATLAB 7.3 writes: the axes run the other way
        held["x"], held["y"] = X.T, y[:, None]
    stamp = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
    Path("b.mat").write_bytes(stamp + Path("b.mat").read_bytes()[len(stamp) :])
    with h5py.File("c.h5", "w") as held:
        held["deep/x"], held["deep/y"] = X, [f"class {k}".encode() for k in y]
    for name, options, names in (
        ("a.mat", {}, None),
        ("b.mat", {}, None),
        ("c.h5", {"x": "deep/x", "y": "deep/y"}, tuple(f"class {k}" for k in range(4))),
    ):
        data = ready("arrays", path=name, **options)
        assert data.label_names == names and sorted(everything(data).tolist()) == sorted(X.tolist())
        assert sum(torch.bincount(data.split(s).y, minlength=4) for s in ("train", "val", "test")).tolist() == [15] * 4
    np.savetxt("d.amat", COLOUR[:, 0, 0] > 99, fmt="%d")
    assert ready("arrays", path="d.amat").shapes((2,)).support == "binary"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "semicolons.csv", "a.parquet", "bare.csv"])
def test_tables(name, capsys):
    frame = pandas.DataFrame({"width": SCALES[:, 2], "count": np.arange(300), "yes": np.arange(300) % 2 == 0})
    frame["kind"] = np.array(["cat", "dog", "emu"] * 100)
    if name.endswith(".parquet"):
        frame.to_parquet(name)
    else:
        separator = {"a.tsv": "\t", "semicolons.csv": ";"}.get(name, ",")
        columns = frame[["width", "count"]] if name == "bare.csv" else frame
        columns.to_csv(name, sep=separator, index=False, header=name != "bare.csv", encoding="utf-8-sig")
    label = None if name == "bare.csv" else "kind"
    data = ready("table", path=name, label=label)
    expected = frame[["width", "count"] if label is None else ["width", "count", "yes"]].to_numpy("float32")
    assert sorted(everything(data).tolist()) == sorted(expected.tolist())
    assert data.label_names == (("cat", "dog", "emu") if label else None) and data.shapes((2,)).support == "real"
    assert f"300 rows, {expected.shape[1]} columns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n3,\n", {}, r"row 2 of column b has no value; fill it in or remove it"),
        ("a,b\n1,2\n3,\n4,NA\n", {}, r"row 2 of column b has no value \(and 1 more\)"),
        ("a,b\n1,2\n3,oops\n", {}, r"row 2 of column b is 'oops', which is not a number"),
        ("a,b\n1,2\n3,inf\n", {}, r"holds inf at index \(1, 1\)"),
        ("a,b\n1,2\n", {"label": "B"}, r"dataset.label=B: t.csv has the columns a, b"),
        ("a,kind\n1,2\n", {"columns": ["knd"]}, r"dataset.columns=knd: .*; did you mean 'kind'\?"),
        (
            "a,b\n1,2\n",
            {"columns": ["b"], "label": "b"},
            r"dataset.columns=b: must name columns other than the label b",
        ),
        (",a\n0,1\n1,2\n", {}, r"column 1 has no name: name it, or choose columns with dataset.columns"),
        ("a,b\n1,2,3\n4,5,6\n", {}, r"t.csv cannot be read as a table"),
        ("a,a\n1,2\n3,4\n", {}, r"t.csv has several columns a"),
        ("a,b\n", {}, r"t.csv has no rows"),
        ("", {}, r"t.csv cannot be read as a table"),
        ("a,d\n1,2020-01-01\n2,2020-01-02\n", {}, r"row 1 of column d is '2020-01-01', which is not a number"),
        ("a,b\n1,2\n", {"columns": "b"}, r"dataset.columns=b: expected a list"),
    ],
)
def test_wrong_tables_are_one_sentence(text, options, message):
    Path("t.csv").write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        ready("table", path="t.csv", **options)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    Path("t.csv").write_text("a,b\n1,2\n")
    Path("t.h5").write_bytes(b"")
    for module, source, name, extra in (("pandas", "table", "t.csv", "tables"), ("h5py", "arrays", "t.h5", "hdf5")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match=rf"{name} needs {module}: pip install 'vaezoo\[{extra}\]'"):
            ready(source, path=name)


# -- the default likelihood ------------------------------------------------------------------------------------------


def asked(*overrides):
    return vaezoo.compose(["dataset=arrays", "dataset.path=a.npz", "latent=2", *overrides])


@pytest.mark.parametrize(
    ("x", "likelihood"),
    [
        (COLOUR, "discretised_logistic"),
        (COLOUR > 99, "bernoulli"),
        (COLOUR / 255, "gaussian"),
        (SCALES[:, 1:2], "gaussian"),
    ],
)
def test_the_default_likelihood_follows_from_the_values(x, likelihood):
    data = arrays(x=x)
    config = settle(asked(), data.shapes((2,)).support)
    assert config.choices.likelihood == likelihood == type(build(asked(), data.shapes((2,))).likelihood).__module__[19:]
    explicit = asked(f"likelihood={likelihood}")
    assert config.likelihood == explicit.likelihood and config.settled == ["likelihood"]


def test_folders_and_arrays_of_the_same_pictures_get_the_same_likelihood():
    for k, pixels in enumerate(COLOUR):
        picture(f"p/{k}.png", pixels)
    config = vaezoo.compose(["dataset=image_folder", "dataset.root=p"])
    supports = [arrays(x=COLOUR).shapes((2,)).support, ready("image_folder", root="p").shapes((2,)).support]
    assert {settle(each, s).choices.likelihood for each, s in zip((asked(), config), supports, strict=True)} == {
        vaezoo.compose(["dataset=cifar10"]).choices.likelihood
    }


def test_variant_and_command_line_win_over_the_default_likelihood():
    assert asked("variant=log_cosh_vae").choices.likelihood == "log_cosh"
    assert asked("likelihood=laplace").choices.likelihood == "laplace"
    assert settle(asked("likelihood=laplace"), "levels").choices.likelihood == "laplace"


def test_a_settled_configuration_is_still_the_one_that_was_asked_for():
    def digest(config):
        return identity.digest(OmegaConf.to_container(config, resolve=True))

    before = asked()
    settled = settle(before, "real")
    assert before.choices.likelihood == "auto" and "settled" not in before
    assert digest(settled) == digest(before) != digest(asked("likelihood=gaussian"))


def test_a_run_records_the_likelihood_that_it_used():
    np.savez("a.npz", x=SCALES[:, 1:])
    vaezoo.train(asked(*QUICK, "run_dir=r"))
    config = OmegaConf.load("r/config.yaml")
    assert config.choices.likelihood == "gaussian" and config.likelihood == asked("likelihood=gaussian").likelihood
    assert type(vaezoo.load("r").likelihood).__name__ == "Gaussian"


# -- where data lie --------------------------------------------------------------------------------------------------


def test_the_folder_of_all_data_is_found_from_python(monkeypatch):
    monkeypatch.setenv("VAEZOO_DATA", "/some/where")
    assert DataModule("fashion_mnist").root == Path("/some/where") and DataModule("arrays", path="a").root == Path(".")
    monkeypatch.delenv("VAEZOO_DATA")
    assert DataModule("fashion_mnist").root == Path("data")


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez("a.npz", x=X)
    assert len(ready("arrays", path="~/a.npz").split("train")) == 49
    folder("p")
    assert DataModule("image_folder", root="~/p").root == tmp_path / "p"
