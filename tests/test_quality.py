"""How real samples look: distances between sets of features, and the scores of models on digits."""

import json
import sys
from functools import partial

import pytest
import torch
from torch import Tensor

from vaezoo import cli
from vaezoo.data.datamodule import DataModule
from vaezoo.data.raw import Part, Raw
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.evaluate import classifier as judging
from vaezoo.evaluate import distances
from vaezoo.evaluate.classifier import classifier, grey
from vaezoo.evaluate.distances import (
    frechet_distance,
    kernel_distance,
    polynomial_mmd,
    precision_recall_density_coverage,
)
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.evaluate.inception import InceptionDistance
from vaezoo.evaluate.quality import quality
from vaezoo.evaluate.results import format_results, write_results
from vaezoo.networks import mlp
from vaezoo.priors.conditional import ConditionalPrior
from vaezoo.shapes import Shapes
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.cvae import CVAE
from vaezoo.variants.vae import VAE

SMALL = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    """The classifier is trained once for this file, and nothing is left in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAEZOO_CACHE", str(folder))
        yield folder


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


# -- distances ---------------------------------------------------------------------------------------------------------


def test_frechet_distance_of_a_set_to_itself_is_zero():
    x = normal(200, 6, 0) @ normal(6, 6, 1)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    singular = normal(5, 20, 0)  # fewer points than dimensions
    assert frechet_distance(singular, singular) == pytest.approx(0.0, abs=1e-6)


def test_frechet_distance_in_one_dimension_is_that_of_means_and_deviations():
    x, y = 2 * normal(50, 1, 0) + 1, 0.5 * normal(80, 1, 1) - 3
    expected = (x.mean() - y.mean()).square() + (x.std() - y.std()).square()
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-10)


def test_frechet_distance_is_that_of_scipys_root_and_is_invariant():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = normal(100, 5, 0) @ normal(5, 5, 1), normal(120, 5, 2) @ normal(5, 5, 3) + 1
    sx, sy = x.T.cov(), y.T.cov()
    root = torch.from_numpy(linalg.sqrtm((sx @ sy).numpy()).real)
    expected = ((x.mean(0) - y.mean(0)).square().sum() + (sx + sy - 2 * root).trace()).item()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)
    rotation, _ = torch.linalg.qr(normal(5, 5, 4))
    assert frechet_distance(x @ rotation + 7, y @ rotation + 7) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-8)


def test_polynomial_mmd_is_the_sum_over_pairs():
    x, y = normal(4, 3, 0), normal(5, 3, 1)

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = [k(x[i], x[j]) for i in range(4) for j in range(4) if i != j]
    yy = [k(y[i], y[j]) for i in range(5) for j in range(5) if i != j]
    xy = [k(a, b) for a in x for b in y]
    expected = sum(xx) / len(xx) + sum(yy) / len(yy) - 2 * sum(xy) / len(xy)
    assert polynomial_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased():
    """Two halves of one distribution: zero within its error, sometimes below; shifted sets: well above."""
    x, y = normal(600, 4, 0), normal(600, 4, 1)
    with noise.seeded(0):
        same, far = kernel_distance(x, y, 40, 100), kernel_distance(x, y + 1, 40, 100)
    assert abs(same.mean) < 4 * same.std / 40**0.5 + 0.05 and far.mean > 10 * abs(same.mean)
    drawn = [polynomial_mmd(normal(50, 4, 2 * i), normal(50, 4, 2 * i + 1)) for i in range(40)]
    assert min(drawn) < 0 < max(drawn)


def test_precision_recall_density_coverage_of_equal_sets_are_one():
    x = normal(150, 8, 0)
    assert precision_recall_density_coverage(x, x) == pytest.approx((1.0, 1.0, 1.0, 1.0))
    assert precision_recall_density_coverage(x, x + 100) == (0.0, 0.0, 0.0, 0.0)


def test_precision_and_recall_tell_missing_modes_from_noise(monkeypatch):
    real = torch.cat([normal(100, 2, 0), normal(100, 2, 1) + 50])
    collapsed = precision_recall_density_coverage(real, normal(200, 2, 2))
    assert collapsed.precision > 0.9 and collapsed.recall < 0.6 and collapsed.coverage < 0.6
    noisy = precision_recall_density_coverage(real, torch.cat([real[::2], normal(100, 2, 3) * 5 + 500]))
    assert noisy.precision < 0.6
    monkeypatch.setattr(distances, "ROWS", 7)  # in pieces: the same
    assert precision_recall_density_coverage(real, normal(200, 2, 2)) == pytest.approx(collapsed)


# -- classifier --------------------------------------------------------------------------------------------------------


def test_classifier_knows_digits_and_comes_back_from_the_cache(digits, cached, monkeypatch):
    network, test = classifier(digits), grey(digits, "test")[:300]
    features, predicted = network.look(test.x)
    assert (predicted == test.y).float().mean() > 0.93
    assert features.shape == (300, 128) and features.dtype == torch.double
    (file,) = cached.glob("*.safetensors")
    monkeypatch.setattr(judging, "_train", None)  # would fail
    binary = DataModule("digits", binarise="threshold", val_size=50)
    binary.setup()
    torch.testing.assert_close(classifier(binary).look(test.x)[0], features, rtol=0, atol=0)
    assert list(cached.iterdir()) == [file]


# -- models ------------------------------------------------------------------------------------------------------------


def test_better_pictures_have_better_scores(digits):
    """Training pictures against those of an untrained model, which are all alike: precise perhaps, never diverse."""
    model = VAE(shapes=digits.shapes((8,)), **SMALL)
    found, reasons = quality(model, digits, ["prior"], n=300)
    assert not reasons and list(found) == ["floor", "prior"]
    floor, untrained = found["floor"], found["prior"]
    assert floor["fid_clf"] < untrained["fid_clf"] / 5 and floor["kid_clf"] < untrained["kid_clf"]
    for name in ("recall", "coverage"):
        assert floor[name] > untrained[name] + 0.5
    assert floor["classifier_accuracy"] > 0.93
    assert floor["n"] == untrained["n"] == floor["n_real"] == 300
    again, _ = quality(model, digits, ["prior"], n=300)
    assert again == found and model.training


def test_conditional_accuracy_counts_the_labels_that_are_found(digits):
    """A decoder that gives a picture of the class it is asked for, and one that always gives the same."""
    model = CVAE(shapes=digits.shapes((2,)), **SMALL, prior=ConditionalPrior)
    train = grey(digits, "train")[:]
    templates = torch.stack([train.x[train.y == label].mean(0) for label in range(10)])

    class Decoded:
        def __init__(self, mean: Tensor) -> None:
            self.mean = mean

    model.decode = lambda z, c=None: Decoded(templates[c.argmax(1)])
    right, _ = quality(model, digits, ["prior"], n=100)
    model.decode = lambda z, c=None: Decoded(templates[:1].expand(len(c), -1, -1, -1))
    wrong, _ = quality(model, digits, ["prior"], n=100)
    assert right["prior"]["conditional_accuracy"] > 0.85
    assert wrong["prior"]["conditional_accuracy"] < 0.3
    assert "conditional_accuracy" not in right["floor"]


def test_samplers_that_do_not_fit_the_model_are_null_with_a_reason(digits):
    model = Autoencoder(shapes=digits.shapes((2,)), **SMALL)
    found, reasons = quality(model, digits, ["prior", "aggregate"], n=100)
    assert found["prior"] is None and "no prior" in reasons["quality.prior"]
    assert found["aggregate"]["fid_clf"] > 0


@pytest.mark.parametrize("event, labels, reason", [((3,), True, "no pictures"), ((1, 8, 8), False, "no classes")])
def test_data_without_pictures_or_classes_are_null_with_a_reason(monkeypatch, event, labels, reason):
    x = torch.randint(256, (60, *event), dtype=torch.uint8)
    part = Part(x, torch.arange(60) % 2 if labels else None)
    data = DataModule("digits")
    monkeypatch.setattr(data, "_raw", lambda: Raw(part, part))
    data.setup()
    model = VAE(shapes=Shapes(event=event, latent=(2,)), **SMALL)
    found, reasons = quality(model, data)
    assert found is None and reason in reasons["quality"]


def test_the_block_is_part_of_results_and_of_the_report(digits, tmp_path):
    model = Autoencoder(shapes=digits.shapes((2,)), **SMALL)
    report = evaluate(model, digits, k=0, limit=20, progress=False, quality=["mixture", "prior"], samples=60)
    text = format_results(report)
    assert "fid_clf_mixture" in text and "fid_clf_floor" in text and "fid_clf_prior                  -" in text
    write_results(tmp_path, report)
    write_results(tmp_path, evaluate(model, digits, k=0, limit=20, progress=False))  # not judged anew
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["quality"]["mixture"]["n"] == 60 and stored["others"] == []


def test_the_command_judges_samples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    from vaezoo import compose, train

    quick = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.progress_bar=false", "logger=none"]
    small = ["encoder.hidden=[16]", "decoder.hidden=[16]", "callbacks=none", "evaluate.k=0", "run_dir=here"]
    run = train(compose(["variant=cvae", "evaluate.quality=[prior]", "evaluate.samples=100", *quick, *small]))
    assert 0 <= run.results["quality"]["prior"]["conditional_accuracy"] <= 1
    assert cli.main(["evaluate", "here", "--k", "0", "--quality", "prior,mixture", "--samples", "50"]) == 0
    out = capsys.readouterr().out
    assert "fid_clf_prior" in out and "the codes of a conditional model depend on its condition" in out
    assert cli.main(["evaluate", "here", "--quality", "priro"]) == 2
    assert "did you mean 'prior'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "override, message",
    [
        ("evaluate.quality=[mixtur]", "evaluate.quality=mixtur must be a list of .*; did you mean 'mixture'?"),
        ("evaluate.samples=1", "evaluate.samples=1 must be at least 10"),
    ],
)
def test_wrong_settings_are_refused_when_they_are_composed(override, message):
    from vaezoo import compose

    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        compose([override])


def test_inception_without_its_package_is_refused_in_one_sentence(monkeypatch):
    import torchmetrics.image.fid as fid

    monkeypatch.setattr(fid, "_TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(UsageError, match=r"^evaluate.inception=true needs the package torch-fidelity"):
        InceptionDistance()
    assert "torch_fidelity" not in sys.modules


def test_inception_distance_uses_its_features_for_both_sets(monkeypatch):
    """With the pixels as features it is the Fréchet distance of the pictures."""
    from torchmetrics.image import fid

    class Pixels(torch.nn.Module):
        num_features = 12

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).double()

    original = fid.FrechetInceptionDistance
    monkeypatch.setattr(fid, "FrechetInceptionDistance", lambda feature, **options: original(Pixels(), **options))
    x, y = torch.rand(40, 3, 2, 2), torch.rand(30, 3, 2, 2) ** 2
    distance = InceptionDistance()
    for fake in (y, x, y):  # the real ones are read once
        expected = frechet_distance(x.flatten(1), fake.flatten(1))
        assert distance.between(x, fake) == pytest.approx(expected, abs=1e-4)
