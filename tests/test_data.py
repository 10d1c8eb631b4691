"""Datasets: exact draws, one order for any number of processes, exact resume, and errors of one line."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaezoo.data import datamodule, draws
from vaezoo.data.datamodule import DataModule, datasets
from vaezoo.data.loader import EvalLoader, Order, TrainLoader
from vaezoo.data.pictures import Pictures
from vaezoo.data.raw import Part
from vaezoo.data.split import Split
from vaezoo.errors import UsageError


@pytest.fixture(autouse=True)
def empty_cache():
    datamodule._cache.clear()


def levels(n=40, event=(1, 3, 5), seed=0):
    """A split of random grey pictures with labels."""
    generator = torch.Generator().manual_seed(seed)
    return Part(torch.randint(0, 256, (n, *event), dtype=torch.uint8, generator=generator), torch.arange(n) % 10)


def loader(split, batch_size=8, rank=0, world=1, epoch=0, **options):
    order = Order(len(split), batch_size, 0, rank, world, **options)
    order.set_epoch(epoch)
    return TrainLoader(split, order)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def ready(source, **options):
    data = DataModule(source, **options)
    data.setup()
    return data


def folder_of_pictures(path, sizes=((12, 9), (8, 8), (10, 20)), count=12, classes=("cat", "dog")):
    rng = np.random.default_rng(0)
    for k in range(count):
        width, height = sizes[k % len(sizes)]
        file = path / classes[k % len(classes)] / f"{k:02}.png" if classes else path / f"{k:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
    return path


# -- draws -----------------------------------------------------------------------------------------------------------


def test_each_threshold_refuses_255_and_every_other_byte_is_kept():
    key, index = draws.stream("t"), np.arange(2000)
    raw, kept = draws.bits(key, index, 100, "uint8"), draws.thresholds(key, index, 100)
    assert (raw == 255).any() and kept.max() == 254
    assert (kept[raw != 255] == raw[raw != 255]).all()  # so P(r = j) is the same for all j in 0..254


def test_level_k_beats_exactly_k_of_the_255_thresholds():
    rows, thresholds = torch.arange(256)[:, None], torch.arange(255)[None]
    assert torch.equal((rows > thresholds).sum(1), torch.arange(256))


def test_thresholds_are_uniform():
    counts = np.bincount(draws.thresholds(draws.stream(1), np.arange(10_000), 255).ravel(), minlength=255)
    chi_square = ((counts - 10_000) ** 2 / 10_000).sum()
    assert abs(chi_square - 254) < 5 * (2 * 254) ** 0.5


def test_bits_depend_on_the_example_and_not_on_its_batch():
    key, index = draws.stream(3), np.array([5, 900, 2])
    for dtype in ("uint8", "uint16", "uint32"):
        together = draws.bits(key, index, 13, dtype)
        alone = np.concatenate([draws.bits(key, index[k : k + 1], 13, dtype) for k in range(3)])
        assert (together == alone).all() and len(np.unique(together[:, :2], axis=0)) == 3


def test_neighbouring_examples_epochs_and_pixels_are_uncorrelated():
    index = np.arange(20_000)
    now, later = (draws.bits(draws.stream("train", 0, epoch), index, 2, "uint8").astype(float) for epoch in (0, 1))
    pairs = [(now[:-1, 0], now[1:, 0]), (now[:, 0], now[:, 1]), (now[:, 0], later[:, 0])]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 5 / len(index) ** 0.5 for a, b in pairs)


@pytest.mark.parametrize("binarise", ["static", "dynamic"])
@pytest.mark.parametrize("stored", ["uint8", "float"])
def test_a_pixel_is_one_with_probability_equal_to_its_grey_value(binarise, stored):
    rows = torch.arange(256, dtype=torch.uint8).repeat(8000, 1)
    x = Split("train", Part(rows if stored == "uint8" else rows.float() / 255), binarise, fixed=False)[:].x
    p = torch.arange(256) / 255
    deviation = (x.mean(0) - p).abs() / (p * (1 - p) / 8000).sqrt().clamp_min(1e-9)
    assert deviation.max() < 4.5 and x[:, 0].max() == 0 and x[:, 255].min() == 1


def test_dynamic_binarisation_differs_between_epochs_and_repeats_within_one():
    split, index = Split("train", levels(), "dynamic", fixed=False), torch.arange(40)
    first = split.batch(index, epoch=0).x
    assert torch.equal(first, split.batch(index, epoch=0).x)
    assert not torch.equal(first, split.batch(index, epoch=1).x)
    assert not torch.equal(first, Split("train", levels(), "dynamic", seed=1, fixed=False).batch(index).x)


@pytest.mark.parametrize(("binarise", "fixed"), [("static", False), ("static", True), ("dynamic", True)])
def test_fixed_draws_are_the_same_in_every_epoch_and_for_every_seed(binarise, fixed):
    index = torch.arange(40)
    x = Split("test", levels(), binarise, fixed=fixed).batch(index, 0).x
    for seed, epoch in ((0, 3), (7, 0)):
        assert torch.equal(x, Split("test", levels(), binarise, seed=seed, fixed=fixed).batch(index, epoch).x)
    assert set(x.unique().tolist()) == {0.0, 1.0}


def test_validation_and_test_are_drawn_independently():
    splits = [Split(name, levels(), "dynamic") for name in ("val", "test")]
    assert not torch.equal(splits[0][:].x, splits[1][:].x)


def test_threshold_binarisation_is_one_above_a_half():
    grey = torch.tensor([[0, 127, 128, 255]], dtype=torch.uint8)
    for rows in (grey, grey.float() / 255):
        assert Split("train", Part(rows), "threshold")[:].x.tolist() == [[0, 0, 1, 1]]


def test_levels_are_k_over_255():
    x = Split("train", Part(torch.arange(256, dtype=torch.uint8)[:, None]))[:].x
    assert torch.equal(x[:, 0], torch.arange(256) / 255) and torch.equal((255 * x[:, 0]).round(), torch.arange(256.0))


def test_dequantised_values_stay_within_their_level_and_fill_it():
    rows = torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 1000).contiguous()
    split = Split("train", Part(rows), dequantise=True, fixed=False)
    x = split[:].x.double()
    u = x * 256 - rows
    assert u.min() >= 0 and u.max() < 1 and x.max() < 1
    assert abs(float(u.mean()) - 0.5) < 0.003 and abs(float(u.var()) - 1 / 12) < 0.001
    assert not torch.equal(split.batch(torch.arange(256), 1).x, split.batch(torch.arange(256), 0).x)


# -- order -----------------------------------------------------------------------------------------------------------


def test_order_is_a_permutation_and_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        order = Order(103, 10, seed)
        order.set_epoch(epoch)
        return torch.cat(order.batches())

    assert torch.equal(order(0, 0).sort().values, torch.arange(103))
    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 0), order(0, 1)) and not torch.equal(order(0, 0), order(1, 0))


@pytest.mark.parametrize("binarise", ["none", "dynamic"])
def test_two_processes_see_what_one_sees_with_the_double_batch(binarise):
    split = Split("train", levels(42), binarise, fixed=False)
    whole = list(loader(split, 8, epoch=2))
    parts = zip(*(loader(split, 4, rank, 2, epoch=2) for rank in (0, 1)), strict=True)
    together = [tuple(torch.cat(pair) for pair in zip(*ranks, strict=True)) for ranks in parts]
    assert len(whole) == len(together) == 6
    assert all(same(a, b) for a, b in zip(whole, together, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_every_process_has_the_same_number_of_non_empty_batches(world, drop_last):
    for size in range(12, 40):
        orders = [Order(size, 4, 0, rank, world, drop_last) for rank in range(world)]
        batches = [order.batches() for order in orders]
        assert {len(plan) for plan in batches} == {len(orders[0])}
        assert all(len({len(batch) for batch in turn}) == 1 and len(turn[0]) for turn in zip(*batches, strict=True))
        seen = torch.cat([batch for plan in batches for batch in plan])
        assert len(seen.unique()) == len(seen) >= (size - size % (4 * world) if drop_last else size - size % world)


def test_evaluation_shares_every_example_once_in_equally_many_non_empty_batches():
    for size in range(3, 40):
        split = Split("val", levels(size))
        for world in (1, 2, 3):
            for batch_size in (1, 4, 500):
                plans = [EvalLoader(split, batch_size, rank, world).plan for rank in range(world)]
                assert len({len(plan) for plan in plans}) == 1
                assert all(0 < len(index) <= batch_size + 1 for plan in plans for index in plan)
                everything = torch.cat([index for plan in plans for index in plan])
                assert torch.equal(everything.sort().values, torch.arange(size))
                assert world > 1 or torch.equal(everything, torch.arange(size))


# -- resume ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_an_interrupted_epoch_goes_on_and_the_next_one_is_whole(done):
    split = Split("train", levels(), "dynamic", fixed=False)
    first, interrupted = loader(split, epoch=1), loader(split, epoch=1)
    expected = list(first)
    running = iter(interrupted)
    for _ in range(done):
        next(running)
    state = interrupted.state_dict()
    assert state == {"done": done}

    resumed = loader(split)
    iter(resumed)  # Lightning makes iterators that it never reads
    resumed.load_state_dict(state)
    iterator = iter(resumed)
    resumed.sampler.set_epoch(1)  # after the iterator is made, as Lightning does
    assert all(same(a, b) for a, b in zip(iterator, expected[done:], strict=True))
    first.sampler.set_epoch(2)
    resumed.sampler.set_epoch(2)
    assert all(same(a, b) for a, b in zip(resumed, first, strict=True))


def test_a_finished_epoch_resumes_as_nothing_done():
    finished, resumed = loader(Split("train", levels())), loader(Split("train", levels()))
    batches = list(finished)
    assert finished.state_dict() == {"done": 5}
    resumed.load_state_dict(finished.state_dict())
    assert resumed.state_dict() == {"done": 0} and len(list(resumed)) == len(batches) == 5


def test_lightning_sets_the_epoch_of_the_order():
    from lightning_fabric.utilities.data import _set_sampler_epoch

    train = loader(Split("train", levels()))
    _set_sampler_epoch(train, 4)
    assert train.sampler.epoch == train.batch_sampler.epoch == 4


# -- DataModule ------------------------------------------------------------------------------------------------------


def test_default_dataset_needs_no_download():
    data = ready("digits", val_size=197)
    shapes = data.shapes((20,))
    assert (shapes.event, shapes.latent, shapes.classes, shapes.support) == ((1, 8, 8), (20,), 10, "levels")
    assert shapes.train_size == 1300 and shapes.range == (0.0, 1.0)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [1300, 197, 300]
    assert torch.allclose(shapes.mean, data.split("train")[:].x.mean(0), atol=1e-6)
    sixteenths = (data.split("train")[:].x * 16).round()
    assert torch.allclose(data.split("train")[:].x, sixteenths / 16, atol=0.5 / 255) and sixteenths.max() == 16
    assert ready("digits", seed=5).checksum == data.checksum and len(data.checksum) == 16


def test_splits_of_a_dataset_do_not_depend_on_the_seed():
    first, second = ready("digits"), ready("digits", seed=1)
    assert all(same(first.split(name)[:], second.split(name)[:]) for name in ("train", "val", "test"))


def test_supports_follow_from_the_options():
    options: dict[str, dict] = {"levels": {}, "unit": {"dequantise": True}, "binary": {"binarise": "dynamic"}}
    for support, chosen in options.items():
        shapes = ready("digits", **chosen).shapes((2,))
        assert shapes.support == support and shapes.mean.min() >= 0 and shapes.mean.max() <= 1


def test_mean_of_thresholded_data_is_the_mean_of_what_is_trained_on():
    data = ready("digits", binarise="threshold")
    assert torch.allclose(data.shapes((2,)).mean, data.split("train")[:].x.mean(0), atol=1e-6)


def test_hidden_labels_are_balanced_and_fixed_by_the_seed():
    data = ready("digits", label_fraction=0.1)
    y, full = data.split("train").y, ready("digits").split("train").y
    shown = y >= 0
    assert torch.equal(y[shown], full[shown])
    counts, totals = torch.bincount(y[shown], minlength=10), torch.bincount(full)
    assert ((counts - 0.1 * totals).abs() <= 0.5).all()
    assert torch.equal(y, ready("digits", label_fraction=0.1).split("train").y)
    assert not torch.equal(y, ready("digits", label_fraction=0.1, seed=1).split("train").y)
    assert data.split("val").y.min() == 0 and data.split("test").y.min() == 0 and data.shapes((2,)).classes == 10


def test_few_examples_are_balanced_nested_and_fixed_by_the_seed():
    full = ready("digits").split("train")
    data = ready("digits", train_size=105)
    few = data.split("train")
    counts = torch.bincount(few.y, minlength=10)
    assert len(few) == 105 and counts.min() == 10 and counts.max() == 11
    rows = {x.numpy().tobytes(): int(y) for x, y in zip(full.x, full.y, strict=True)}
    assert all(rows[x.numpy().tobytes()] == y for x, y in zip(few.x, few.y.tolist(), strict=True))
    fewer = {x.numpy().tobytes() for x in ready("digits", train_size=30).split("train").x}
    assert len(fewer) == 30 and fewer <= {x.numpy().tobytes() for x in few.x}
    assert torch.equal(few.x, ready("digits", train_size=105).split("train").x)
    assert not torch.equal(few.x, ready("digits", train_size=105, seed=1).split("train").x)
    assert len(data.split("val")) == 149 and len(data.split("test")) == 300 and data.shapes((2,)).train_size == 105


def test_splits_can_be_indexed():
    split = ready("digits").split("val")
    batch = split[torch.tensor([3, 1])]
    assert batch.index.tolist() == [3, 1] and torch.equal(batch.x[1], split[1:2].x[0]) and batch.y.shape == (2,)


def test_a_dataset_of_your_own_is_named_by_its_module(tmp_path, monkeypatch):
    text = "import torch\nfrom vaezoo.data.raw import Part, Raw\n\ndef load(root, size=20):\n"
    text += "    x = torch.zeros(size, 3)\n    return Raw(Part(x), Part(x), support='unit')\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "zeros.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert len(ready("mine.zeros", size=30).split("train")) == 27


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "mnst"}, r"dataset.source=mnst: must be one of .*; did you mean 'mnist'\?"),
        ({"source": "no.such"}, r"dataset.source=no.such: cannot import"),
        ({"source": "digits", "resize": 3}, r"dataset.resize: digits takes no options of its own"),
        ({"source": "image_folder", "resiz": 3}, r"dataset.resiz: image_folder takes .*did you mean 'resize'\?"),
        ({"source": "digits", "batch_size": 0}, r"dataset.batch_size=0: must be at least 1"),
        ({"source": "digits", "eval_batch_size": 0}, r"dataset.eval_batch_size=0: must be at least 1"),
        ({"source": "digits", "workers": -1}, r"dataset.workers=-1: must be at least 0"),
        ({"source": "digits", "val_size": 0}, r"dataset.val_size=0: must be at least 1"),
        ({"source": "digits", "train_size": 0}, r"dataset.train_size=0: must be at least 1"),
        (
            {"source": "digits", "train_size": 1349},
            r"dataset.train_size=1349: must be at most the 1348 training examples",
        ),
        ({"source": "digits", "val_size": 1497}, r"dataset.val_size=1497: must be below the 1497 training examples"),
        ({"source": "digits", "binarise": "dynamc"}, r"dataset.binarise=dynamc: must be .*did you mean 'dynamic'\?"),
        ({"source": "digits", "label_fraction": 0.0}, r"dataset.label_fraction=0.0: must be above 0 and at most 1"),
        ({"source": "digits", "label_fraction": 1.5}, r"dataset.label_fraction=1.5: must be"),
        ({"source": "digits", "binarise": "static", "dequantise": True}, r"exclude each other"),
        ({"source": "image_folder", "root": "/no/where"}, r"dataset.root=/no/where: no such folder"),
        ({"source": "arrays", "path": "/no/x.npz"}, r"dataset.path=/no/x.npz: no such file"),
        (
            {"source": "frey_faces", "root": "/no/where"},
            r"not in /no/where/FreyFaces: put frey_rawface.mat there.*http",
        ),
    ],
)
def test_wrong_arguments_are_told_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as error:
        ready(**options)
    assert "\n" not in str(error.value)


def test_a_batch_that_cannot_be_filled_is_refused():
    with pytest.raises(UsageError, match=r"40 training examples do not fill one batch: dataset.batch_size=64"):
        Order(40, 64, drop_last=True)
    with pytest.raises(UsageError, match=r"2 val examples cannot be shared by 3 processes"):
        EvalLoader(Split("val", levels(2)), 4, rank=0, world=3)
    with pytest.raises(UsageError, match=r"no split 'trian'.*did you mean 'train'"):
        ready("digits").split("trian")


def test_a_failed_download_says_where_the_files_belong(tmp_path, monkeypatch):
    from torchvision import datasets as theirs

    def offline(*args, **kwargs):
        raise OSError("no route to host\nmore")

    for name, at in (("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py"), ("svhn", ""), ("celeba", "celeba")):
        cls = {"mnist": "MNIST", "cifar10": "CIFAR10", "svhn": "SVHN", "celeba": "CelebA"}[name]
        monkeypatch.setattr(theirs, cls, offline)
        with pytest.raises(UsageError, match=f"{cls} is not in {tmp_path / at}.*no route to host") as error:
            ready(name, root=str(tmp_path))
        assert "\n" not in str(error.value)


def test_colour_datasets_become_channels_first_arrays(tmp_path, monkeypatch):
    from torchvision import datasets as theirs

    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    cifar10 = SimpleNamespace(data=pixels, targets=list(range(20)), classes=["plane", "car"])
    svhn = SimpleNamespace(data=pixels.transpose(0, 3, 1, 2), labels=np.arange(20))
    for name, cls, fake in (("cifar10", "CIFAR10", cifar10), ("svhn", "SVHN", svhn)):
        monkeypatch.setattr(theirs, cls, lambda *args, fake=fake, **kwargs: fake)
        split = ready(name).split("test")
        assert torch.equal(split.x, torch.from_numpy(pixels).permute(0, 3, 1, 2)) and split.x.is_contiguous()
        assert torch.equal(split.y, torch.arange(20))


def test_celeba_has_its_published_split_and_one_or_all_attributes(tmp_path, monkeypatch):
    from torchvision import datasets as theirs

    folder = tmp_path / "celeba" / "img_align_celeba"
    folder_of_pictures(folder, sizes=((178, 218),), count=6, classes=())
    files = {"train": ["00.png", "01.png", "02.png"], "valid": ["03.png"], "test": ["04.png", "05.png"]}

    def fake(root, split, **kwargs):
        attributes = torch.tensor([[0, 1]]).repeat(len(files[split]), 1)
        return SimpleNamespace(filename=files[split], attr=attributes, attr_names=["Bald", "Smiling", ""])

    monkeypatch.setattr(theirs, "CelebA", fake)
    data = ready("celeba", root=str(tmp_path), attribute="Smiling")
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [3, 1, 2]
    assert data.shapes((2,)).event == (3, 64, 64) and data.split("train").y.tolist() == [1, 1, 1]
    assert ready("celeba", root=str(tmp_path)).split("val").y.tolist() == [[0.0, 1.0]]
    with pytest.raises(UsageError, match=r"dataset.attribute=smiling: must be one of Bald, .*did you mean 'Smiling'"):
        ready("celeba", root=str(tmp_path), attribute="smiling")


# -- arrays ----------------------------------------------------------------------------------------------------------


def saved(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, arrays["x"])
    else:
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    return str(path)


GREY = np.random.default_rng(0).integers(0, 256, (50, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pt"])
def test_arrays_are_read_from_every_kind_of_file(tmp_path, suffix):
    data = ready("arrays", path=saved(tmp_path / f"a{suffix}", x=GREY, y=np.arange(50) % 3))
    shapes = data.shapes((2,))
    assert (shapes.event, shapes.support, shapes.train_size) == ((1, 6, 5), "levels", 41)
    assert shapes.classes == (0 if suffix == ".npy" else 3)
    stored = torch.cat([data.split(name)[:].x for name in ("train", "val", "test")]).mul(255).round().byte()
    assert sorted(map(bytes, stored.numpy())) == sorted(map(bytes, GREY))


@pytest.mark.parametrize(
    ("array", "event", "support"),
    [
        (GREY[..., None].repeat(3, 3), (3, 6, 5), "levels"),
        (GREY[:, None].repeat(3, 1), (3, 6, 5), "levels"),
        (GREY.reshape(50, 30), (30,), "levels"),
        (GREY / 255, (1, 6, 5), "unit"),
        (GREY > 99, (1, 6, 5), "binary"),
        ((GREY > 99).astype(np.float32), (1, 6, 5), "binary"),
        (GREY.reshape(50, 30) / 255, (30,), "unit"),
        (GREY.reshape(50, 30) - 100.0, (30,), "real"),
    ],
)
def test_support_and_shape_follow_from_the_array(tmp_path, array, event, support):
    data = ready("arrays", path=saved(tmp_path / "a.npz", x=array))
    shapes, batch = data.shapes((2,)), next(iter(data.train_dataloader()))
    assert (shapes.event, shapes.support, batch.x.dtype, batch.y) == (event, support, torch.float32, None)
    assert shapes.range[0] <= batch.x.min() and batch.x.max() <= shapes.range[1]
    assert torch.allclose(shapes.mean, data.split("train")[:].x.mean(0), rtol=1e-4, atol=1e-6)


def test_arrays_may_bring_their_test_split_and_continuous_labels(tmp_path):
    path = saved(tmp_path / "a.npz", x=GREY, y=np.arange(100.0).reshape(50, 2), x_test=GREY[:7], y_test=np.ones((7, 2)))
    data = ready("arrays", path=path, val_size=5)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [45, 5, 7]
    assert data.split("test").y.shape == (7, 2) and data.shapes((2,)).classes == 0
    train = data.split("train")
    rows = torch.from_numpy(GREY[(train.y[:, 0] / 2).long()])
    assert torch.equal(rows, train.x[:, 0])


BROKEN = GREY / 255
BROKEN[3, 1, 4] = np.nan


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"x": BROKEN}, {}, r"array x holds nan at index \(3, 1, 4\)"),
        ({"x": GREY, "x_test": BROKEN}, {}, r"array x_test holds nan at index \(3, 1, 4\)"),
        ({"x": GREY[0, 0]}, {}, r"array x has shape \(5,\): must be \[N, D\]"),
        ({"x": GREY.reshape(5, 10, 6, 5)}, {}, r"array x has shape .*: neither axis 1 nor axis 3 can be the channels"),
        ({"x": GREY.astype(np.int64)}, {}, r"array x is int64: must be uint8, bool or float"),
        ({"x": GREY - 100.0}, {}, r"array x holds float pictures in \[-100, 15.\]: scale to"),
        (
            {"x": GREY, "x_test": GREY[:, :3]},
            {},
            r"train and test examples of arrays have different shapes: \(1, 6, 5\) and \(1, 3, 5\)",
        ),
        ({"x": GREY, "y": np.arange(3)}, {}, r"array y has 3 labels for 50 examples"),
        ({"pictures": GREY}, {"x": "picture"}, r"dataset.x=picture: .* holds pictures; did you mean 'pictures'\?"),
        ({"x": GREY}, {"test_size": 50}, r"cannot hold 50 test examples out of 50"),
        ({"x": GREY}, {"label_fraction": 0.5}, r"dataset.label_fraction=0.5: arrays has no class labels to hide"),
        ({"x": GREY.reshape(50, 30) - 9.0}, {"binarise": "static"}, r"arrays has real ones"),
        (
            {"x": GREY / 255},
            {"dequantise": True},
            r"dataset.dequantise=true needs uint8 values, but arrays has unit ones",
        ),
    ],
)
def test_wrong_arrays_are_told_in_one_line(tmp_path, arrays, options, message):
    with pytest.raises(UsageError, match=message) as error:
        ready("arrays", path=saved(tmp_path / "a.npz", **arrays), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.pt", "a.csv"])
def test_an_unreadable_file_is_told_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"not an array")
    with pytest.raises(UsageError, match=name) as error:
        ready("arrays", root=str(tmp_path), path=name)
    assert "\n" not in str(error.value)


# -- picture files ---------------------------------------------------------------------------------------------------


def test_pictures_of_mixed_sizes_are_brought_to_one_and_folders_are_labels(tmp_path):
    data = ready("image_folder", root=str(folder_of_pictures(tmp_path)), resize=4, val_size=2, test_size=3)
    shapes = data.shapes((2,))
    assert (shapes.event, shapes.classes, shapes.support, shapes.train_size) == ((3, 4, 4), 2, "levels", 7)
    assert isinstance(data.split("train").x, torch.Tensor)
    labels = torch.cat([data.split(name).y for name in ("train", "val", "test")])
    assert labels.bincount().tolist() == [6, 6]


def test_crop_takes_the_central_square(tmp_path):
    pixels = np.zeros((6, 8), np.uint8)
    pixels[2:4, 3:5] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = Pictures([tmp_path / "a.png"], resize=None, crop=2, channels=1)[0]
    assert picture.tolist() == [[[200, 200], [200, 200]]]


def test_pictures_without_folders_have_no_labels_and_keep_their_size(tmp_path):
    root = folder_of_pictures(tmp_path, sizes=((7, 5),), classes=())
    data = ready("image_folder", root=str(root), resize=None, channels=1)
    assert data.shapes((2,)).event == (1, 5, 7) and data.split("train").y is None


def test_train_val_and_test_folders_are_the_splits(tmp_path):
    for name, count in (("train", 5), ("val", 2), ("test", 3)):
        folder_of_pictures(tmp_path / name, count=count)
    data = ready("image_folder", root=str(tmp_path), resize=4)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [5, 2, 3]
    with pytest.raises(UsageError, match=r"dataset.val_size=1: image_folder has a validation split of its own"):
        ready("image_folder", root=str(tmp_path), resize=4, val_size=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_on_demand_equal_pictures_in_memory(tmp_path, workers):
    root = str(folder_of_pictures(tmp_path, count=30))
    options = {"root": root, "resize": 4, "batch_size": 4, "binarise": "dynamic"}
    memory = ready("image_folder", in_memory=True, **options)
    lazy = ready("image_folder", in_memory=False, workers=workers, **options)
    assert isinstance(lazy.split("train").x, Pictures)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for a, b in (
        (memory.train_dataloader(), lazy.train_dataloader()),
        (memory.val_dataloader(), lazy.val_dataloader()),
    ):
        assert all(same(x, y) for x, y in zip(a, b, strict=True))
    assert torch.equal(before, torch.get_rng_state())
    assert same(memory.split("test")[:3], lazy.split("test")[:3])
    assert torch.allclose(memory.shapes((2,)).mean, lazy.shapes((2,)).mean)
    train = lazy.train_dataloader()
    running = iter(train)
    next(running)
    assert train.state_dict() == {"done": 1}  # whatever the worker has read ahead


def test_a_corrupt_picture_is_named(tmp_path):
    root = folder_of_pictures(tmp_path)
    good = (root / "cat" / "00.png").read_bytes()
    for broken in (b"nothing like a picture", good[: len(good) // 2]):
        (root / "dog" / "bad.png").write_bytes(broken)
        with pytest.raises(UsageError, match=r"dog/bad.png cannot be read as a picture") as error:
            ready("image_folder", root=str(root), resize=4)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_while_training_is_named(tmp_path, workers):
    root = str(folder_of_pictures(tmp_path))
    data = ready("image_folder", root=root, resize=4, in_memory=False, workers=workers)
    data.split("train").x.files[3].write_bytes(b"gone")
    with pytest.raises(UsageError, match=r"png cannot be read as a picture") as error:
        list(data.train_dataloader())
    assert "\n" not in str(error.value)


def test_pictures_that_do_not_fit_are_named(tmp_path):
    folder_of_pictures(tmp_path)
    with pytest.raises(UsageError, match=r"02.png has 10x20 pixels, 00.png has 12x9: set dataset.resize"):
        ready("image_folder", root=str(tmp_path), resize=None)
    with pytest.raises(UsageError, match=r"has 8x8 pixels, smaller than dataset.crop=9"):
        ready("image_folder", root=str(tmp_path), crop=9)
    for options in ({"channels": 2}, {"resize": 0}, {"crop": 0}):
        ((name, value),) = options.items()
        with pytest.raises(UsageError, match=f"dataset.{name}={value}: must be"):
            ready("image_folder", root=str(tmp_path), **options)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no pictures \(\.png"):
        ready("image_folder", root=str(tmp_path))


# -- configuration and real data -------------------------------------------------------------------------------------


def test_every_dataset_has_a_config_with_the_arguments_that_it_takes():
    from omegaconf import OmegaConf

    files = {file.stem: file for file in (Path(__file__).parents[1] / "conf" / "dataset").glob("*.yaml")}
    assert sorted(files) == datasets()
    for name, file in files.items():
        config: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        target, _ = config.pop("_target_"), config.pop("defaults", None)
        assert target == "vaezoo.data.datamodule.DataModule" and "root" in config
        assert DataModule(**config).name == name


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_and_fashion_mnist_have_their_published_sizes(real_data, name):
    data = ready(name, root=str(real_data), val_size=10_000)
    assert [len(data.split(part)) for part in ("train", "val", "test")] == [50_000, 10_000, 10_000]
    shapes, batch = data.shapes((20,)), next(iter(data.train_dataloader()))
    assert shapes.event == (1, 28, 28) and shapes.classes == 10 and batch.x.shape == (128, 1, 28, 28)
    expected = {"mnist": 0.1307, "fashion_mnist": 0.2860}[name]  # known means of the 60 000
    assert abs(float(shapes.mean.mean()) - expected) < 0.001
    assert data.split("test").y.bincount().max() < 1200


def test_frey_faces_are_the_same_from_the_original_file(real_data, tmp_path):
    from scipy.io import savemat

    (tmp_path / "FreyFaces").mkdir()
    frames = np.load(real_data / "FreyFaces" / "freyfaces.npy")
    savemat(tmp_path / "FreyFaces" / "frey_rawface.mat", {"ff": frames.reshape(1965, 560).T})
    assert ready("frey_faces", root=str(tmp_path)).checksum == ready("frey_faces", root=str(real_data)).checksum
    np.save(tmp_path / "FreyFaces" / "freyfaces.npy", frames[:9])
    datamodule._cache.clear()
    with pytest.raises(UsageError, match=r"holds uint8 \(9, 28, 20\), not uint8 \(1965, 28, 20\)"):
        ready("frey_faces", root=str(tmp_path))


def test_frey_faces_have_their_published_sizes(real_data):
    data = ready("frey_faces", root=str(real_data), val_size=200)
    assert [len(data.split(part)) for part in ("train", "val", "test")] == [1565, 200, 200]
    assert data.shapes((2,)).event == (1, 28, 20) and data.split("train")[:2].y is None
