"""Deterministic autoencoders and the classifier that they are pre-training for: what their papers' formulas say."""

import json
import shutil
from functools import partial

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import LambdaCallback
from torch.nn.functional import cross_entropy

from vaezoo.batch import Batch
from vaezoo.build import WEIGHTS, build, load, save, write_shapes
from vaezoo.callbacks.pictures import write_pictures
from vaezoo.contract.subjects import Recorder, built, digits, fit, moved, shapes_of_digits, small, some, state
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate, format_results
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.networks import conv, mlp
from vaezoo.networks.corruption import corrupt
from vaezoo.runs import CONFIG, RECORD
from vaezoo.shapes import Shapes
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.classifier import Classifier
from vaezoo.variants.contractive_autoencoder import ContractiveAutoencoder
from vaezoo.variants.denoising_autoencoder import DenoisingAutoencoder
from vaezoo.variants.rae import RAE
from vaezoo.variants.sparse_autoencoder import SparseAutoencoder

D, CODE = 6, 3
SHAPES = Shapes(event=(D,), latent=(CODE,), support="real")
LINEAR = {
    "shapes": SHAPES,
    "encoder": partial(mlp.Encoder, hidden=()),
    "decoder": partial(mlp.Decoder, hidden=()),
    "likelihood": partial(Gaussian, scale="fixed"),
}
DEEP = LINEAR | {"encoder": partial(mlp.Encoder, hidden=(8,)), "decoder": partial(mlp.Decoder, hidden=(8, 7))}


def data(n, shapes=SHAPES):
    with noise.seeded(0):
        x = torch.randn(n, *shapes.event)
    return Batch(x, None, torch.arange(n))


def make(cls, parts=LINEAR, **arguments):
    """A model without biases, so that linear ones are matrices."""
    with noise.seeded(1):
        model = cls(**parts, **arguments)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return model


def distortion_constant():
    return D / 2 * torch.log(torch.tensor(2 * torch.pi))


# -- denoising ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gaussian", "masking"])
def test_denoising_without_noise_is_the_autoencoder_bit_for_bit(kind):
    model, plain, batch = (
        make(DenoisingAutoencoder, DEEP, corruption=kind, amount=0.0),
        make(Autoencoder, DEEP),
        data(5),
    )
    plain.load_state_dict(model.state_dict())
    recorder = Recorder()
    with noise.source(recorder):
        assert torch.equal(model.terms(batch)["distortion"], plain.terms(batch)["distortion"])
    assert not recorder.draws and corrupt(batch.x, kind, 0.0) is batch.x


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_masking_loses_the_share_it_says(share):
    with noise.seeded(0):
        masked = corrupt(torch.ones(1000, 200), "masking", share)
    assert set(masked.unique().tolist()) <= {0.0, 1.0}, "what is kept must not be scaled"
    assert (1 - masked).mean().item() == pytest.approx(share, abs=4 * (share * (1 - share) / masked.numel()) ** 0.5)


def test_gaussian_corruption_has_the_standard_deviation_it_says():
    with noise.seeded(0):
        added = corrupt(torch.full((1000, 200), 3.0), "gaussian", 0.3) - 3.0
    assert added.mean().item() == pytest.approx(0, abs=4 * 0.3 / 200_000**0.5)
    assert added.std().item() == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize(("kind", "amount"), [("gaussian", 0.5), ("masking", 0.25)])
def test_linear_denoising_loss_has_its_closed_form(kind, amount):
    """r(x) = A x: ||x - A x||^2 + s^2 ||A||^2, or ||x - (1 - nu) A x||^2 + nu (1 - nu) sum_j x_j^2 ||A_j||^2."""
    model, x, n = make(DenoisingAutoencoder, corruption=kind, amount=amount), data(1).x[0], 40_000
    a = model.reconstruct(torch.eye(D)).detach().T
    if kind == "gaussian":
        expected = (x - a @ x).square().sum() + amount**2 * a.square().sum()
    else:
        spread = amount * (1 - amount) * (x.square() * a.square().sum(0)).sum()
        expected = (x - (1 - amount) * a @ x).square().sum() + spread
    with noise.seeded(2), torch.no_grad():
        found = model.terms(Batch(x.expand(n, D), None, torch.arange(n)))["distortion"]
    error = 4 * found.std().item() / n**0.5
    assert found.mean().item() == pytest.approx((expected / 2 + distortion_constant()).item(), abs=error)


@pytest.mark.parametrize(("kind", "amount"), [("masking", 1.1), ("masking", -0.1), ("gaussian", -1.0), ("maskin", 0.1)])
def test_impossible_corruptions_are_refused(kind, amount):
    with pytest.raises(UsageError, match=r"variant\.(amount|corruption)="):
        make(DenoisingAutoencoder, corruption=kind, amount=amount)


# -- sparse ------------------------------------------------------------------------------------------------------------


def test_kl_sparsity_is_zero_at_the_target_only():
    model = make(SparseAutoencoder, rho=0.2)
    off = torch.tensor([0.01, 0.1, 0.19, 0.21, 0.5, 0.99])
    assert model.divergence(torch.full((4, 7), 0.2)).item() == pytest.approx(0, abs=1e-6)
    assert all(model.divergence(torch.full((4, 1), value)) > 1e-5 for value in off)
    assert model.divergence(torch.tensor([[0.1], [0.3]])).item() == pytest.approx(0, abs=1e-6), "the batch mean counts"


def test_kl_sparsity_has_its_derivative():
    model, rho = make(SparseAutoencoder, rho=0.2), 0.2
    mean = torch.tensor([[0.05, 0.2, 0.6]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.divergence(mean), mean)
    torch.testing.assert_close(gradient, (-rho / mean + (1 - rho) / (1 - mean)).detach())


def test_kl_units_are_sigmoids_and_couple_the_batch():
    model, batch = make(SparseAutoencoder, DEEP), data(5)
    z, terms = model.encode(batch.x), model.terms(batch)
    assert ((z > 0) & (z < 1)).all() and terms["sparsity"].shape == ()
    torch.testing.assert_close(terms["sparsity"], model.divergence(z))
    torch.testing.assert_close(terms.loss, terms["distortion"].mean() + 3 * terms["sparsity"])


def test_l1_scales_with_the_code():
    model, batch = make(SparseAutoencoder, DEEP, penalty="l1"), data(5)
    before = model.terms(batch)["sparsity"]
    torch.testing.assert_close(before, model.encode(batch.x).abs().sum(1))
    with torch.no_grad():
        model.posterior.head.weight.mul_(-2.5)
    torch.testing.assert_close(model.terms(batch)["sparsity"], 2.5 * before)


def test_top_k_leaves_exactly_k_active():
    wide = DEEP | {"shapes": SHAPES.replace(latent=(12,))}
    model, batch = make(SparseAutoencoder, wide, penalty="top_k", k=4), data(50)
    z, full = model.encode(batch.x), model.posterior(model.encoder(batch.x)).mean
    active = z != 0
    assert (active.sum(1) == 4).all() and torch.equal(z[active], full[active])
    assert (full.abs().masked_fill(~active, torch.inf).amin(1) >= full.abs().masked_fill(active, 0).amax(1)).all()
    assert list(model.terms(batch)) == ["distortion"]


@pytest.mark.parametrize("arguments", [{"rho": 0.0}, {"rho": 1.0}, {"penalty": "top_k", "k": 0}, {"weight": -1.0}])
def test_impossible_sparsity_is_refused(arguments):
    with pytest.raises(UsageError):
        make(SparseAutoencoder, **arguments)


# -- contractive -------------------------------------------------------------------------------------------------------


def test_contraction_of_a_sigmoid_layer_has_its_closed_form():
    """sum_j (h_j (1 - h_j))^2 ||W_j||^2 for h = sigmoid(W x + b)."""
    parts = LINEAR | {"encoder": partial(mlp.Encoder, hidden=(CODE,), activation="sigmoid")}
    model, batch = make(ContractiveAutoencoder, parts), data(5)
    with torch.no_grad():
        model.posterior.head.weight.copy_(torch.eye(CODE))
    h, w = model.encode(batch.x), model.encoder.layers[0].weight
    torch.testing.assert_close(model.terms(batch)["contraction"], (h * (1 - h)).square() @ w.square().sum(1))


def test_contraction_of_a_linear_encoder_is_the_norm_of_its_matrix():
    model, batch = make(ContractiveAutoencoder, weight=0.5), data(5)
    terms, norm = model.terms(batch), model.posterior.head.weight.square().sum()
    torch.testing.assert_close(terms["contraction"], norm.expand(5))
    (gradient,) = torch.autograd.grad(terms.weighted(distortion=0.0).loss, model.posterior.head.weight)
    torch.testing.assert_close(gradient, model.posterior.head.weight.detach())  # 0.5 * 2 W


def test_contraction_of_a_convolutional_encoder_is_that_of_autograd():
    shapes = Shapes(event=(1, 8, 8), latent=(2,), support="unit")
    model = make(ContractiveAutoencoder, {"shapes": shapes, "encoder": partial(conv.Encoder, channels=(4, 4))})
    batch = Batch(data(3, shapes).x.sigmoid(), None, torch.arange(3))
    jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x).sum(0), batch.x)  # [d, B, 1, 8, 8]
    expected = jacobian.square().sum((0, 2, 3, 4))
    torch.testing.assert_close(model.terms(batch)["contraction"], expected)
    with torch.no_grad():
        torch.testing.assert_close(model.eval().terms(batch)["contraction"], expected)


def test_projections_estimate_the_contraction():
    exact, estimate = make(ContractiveAutoencoder, DEEP), make(ContractiveAutoencoder, DEEP, projections=5000)
    batch = data(3)
    with noise.seeded(0):
        torch.testing.assert_close(
            estimate.terms(batch)["contraction"], exact.terms(batch)["contraction"], rtol=0.1, atol=0
        )


# -- regularised -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regulariser", ["l2", "gradient"])
def test_rae_without_regularisers_is_the_autoencoder(regulariser):
    model, batch = make(RAE, DEEP, beta=0.0, weight=0.0, regulariser=regulariser), data(5)
    plain = make(Autoencoder, DEEP)
    plain.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(model.terms(batch).loss, plain.terms(batch).loss)


def test_rae_penalises_the_codes_and_the_weights():
    model, batch = make(RAE, DEEP, beta=0.5, weight=0.25), data(5)
    terms, z = model.terms(batch), model.encode(batch.x)
    torch.testing.assert_close(terms["norm"], z.square().sum(1) / 2)
    layers = [model.decoder.layers[0], model.decoder.layers[2], model.likelihood.location_scale.head.layer]
    torch.testing.assert_close(terms["regulariser"], torch.stack([m.weight.square().sum() for m in layers]).sum())
    expected = terms["distortion"].mean() + 0.5 * terms["norm"].mean() + 0.25 * terms["regulariser"]
    torch.testing.assert_close(terms.loss, expected)


def test_gradient_regulariser_of_a_linear_decoder_is_the_norm_of_its_matrix():
    model, batch = make(RAE, regulariser="gradient"), data(5)
    a = model.decode(torch.eye(CODE)).mean.T  # [D, CODE]
    torch.testing.assert_close(model.terms(batch)["regulariser"], a.square().sum().expand(5))


def test_gradient_regulariser_is_that_of_autograd():
    model, batch = make(RAE, DEEP, regulariser="gradient"), data(4)
    z = model.encode(batch.x)
    jacobian = torch.autograd.functional.jacobian(lambda z: model.decode(z).mean.sum(0), z)  # [D, B, CODE]
    found = model.terms(batch)["regulariser"]
    torch.testing.assert_close(found, jacobian.square().sum((0, 2)))
    assert torch.autograd.grad(found.sum(), model.decoder.layers[0].weight)[0].abs().sum() > 0


def test_spectral_regulariser_bounds_every_layer():
    model, batch = make(RAE, DEEP, regulariser="spectral"), data(4)
    with torch.no_grad():
        for _ in range(200):
            model.terms(batch)
    layers = [model.decoder.layers[0], model.decoder.layers[2], model.likelihood.location_scale.head.layer]
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-3)
    z = data(100).x[:, :CODE]
    with torch.no_grad():
        moved_by = (model.decode(z[:50]).mean - model.decode(z[50:]).mean).norm(dim=1)
    assert (moved_by <= 1.01 * (z[:50] - z[50:]).norm(dim=1)).all(), "the decoder is 1-Lipschitz"


# -- classifier --------------------------------------------------------------------------------------------------------


def finished(model, config, folder):
    """A run's folder, as training leaves it."""
    folder.mkdir()
    (folder / CONFIG).write_text(OmegaConf.to_yaml(config, resolve=True))
    (folder / RECORD).write_text(json.dumps({"shapes": write_shapes(model.shapes)}))
    save(model, folder)
    return folder


def pretrained(tmp_path, variant, *overrides):
    """A trained model, and the configuration of a classifier on its encoder."""
    model = built(variant, seed=3).eval()
    run = finished(model, small(variant), tmp_path / "run")
    return model, run, small("classifier", "encoder=pretrained", f"encoder.run={run}", *overrides)


@pytest.mark.parametrize(
    ("variant", "code"), [("autoencoder", False), ("vae", True), ("stacked_autoencoder", False), ("vae", False)]
)
def test_classifier_starts_from_the_pretrained_weights(tmp_path, variant, code):
    model, _, config = pretrained(tmp_path, variant, f"encoder.code={str(code).lower()}")
    batch, seen = some("classifier"), {}
    expected = model.encode(batch.x) if code or variant == "stacked_autoencoder" else model.encoder(batch.x)

    def look(trainer, classifier, *_):
        seen.setdefault("features", classifier.encoder(batch.x))

    classifier = built("classifier", config)
    fit(classifier, "classifier", LambdaCallback(on_train_batch_start=look))
    assert torch.equal(seen["features"], expected) and classifier.encoder.features == expected.shape[1:]
    assert not torch.equal(classifier.encoder(batch.x), expected), "fine-tuning moves the encoder"
    gradients = torch.autograd.grad(classifier.terms(batch).loss, list(classifier.parameters()), allow_unused=True)
    assert all(gradient is not None for gradient in gradients), "what the features do not depend on is left behind"


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_encoder_stays_and_a_free_one_moves(tmp_path, freeze):
    _, _, config = pretrained(tmp_path, "autoencoder", f"encoder.freeze={str(freeze).lower()}")
    model = built("classifier", config)
    before = state(model)
    fit(model, "classifier", limit_train_batches=3)
    changed = moved(before, state(model))
    assert {"head.weight", "head.bias"} <= changed and model.encoder.training is not freeze
    assert {name for name in before if name.startswith("encoder.")} & changed == (
        set() if freeze else {name for name in before if name.startswith("encoder.")}
    )


def test_frozen_encoder_serves_any_variant(tmp_path):
    run = pretrained(tmp_path, "vae")[1]
    model = built("vae", small("vae", "encoder=pretrained", f"encoder.run={run}", "encoder.freeze=true"))
    before = state(model)
    fit(model, "vae")
    changed = moved(before, state(model))
    assert "posterior.head.weight" in changed and not any(name.startswith("encoder.") for name in changed)


def test_trained_classifier_needs_no_pretrained_weights(tmp_path):
    _, run, config = pretrained(tmp_path, "autoencoder")
    model, batch = built("classifier", config), some("classifier")
    fit(model, "classifier")
    own = finished(model, config, tmp_path / "classifier")
    (run / WEIGHTS).unlink()
    assert torch.equal(load(own).logits(batch.x), model.eval().logits(batch.x))
    with pytest.raises(UsageError, match=r"^encoder.run=.*: there is no model.safetensors in it to start from$"):
        built("classifier", config)
    shutil.rmtree(run)
    with pytest.raises(UsageError, match=r"^encoder.run=.* is not a finished run: config.yaml is missing$"):
        load(own)


def test_pretrained_encoder_of_other_data_is_refused(tmp_path):
    config = pretrained(tmp_path, "autoencoder")[2]
    with pytest.raises(UsageError, match=r"encodes examples of shape \[1, 8, 8\] and the data have \[3, 4, 4\]$"):
        build(config, shapes_of_digits("classifier").replace(event=(3, 4, 4), mean=None))


def test_classifier_has_no_code_to_pretrain_with(tmp_path):
    config = pretrained(tmp_path, "classifier", "encoder.code=true")[2]
    with pytest.raises(UsageError, match=r"holds a Classifier, which has no code$"):
        build(config, shapes_of_digits("classifier"))


def test_hidden_labels_do_not_count():
    model, batch = built("classifier"), some("classifier")
    y = batch.y.clone()
    y[[0, 3]] = -1
    shown = y >= 0
    terms = model.terms(batch._replace(y=y))
    torch.testing.assert_close(terms.loss, cross_entropy(model.logits(batch.x[shown]), y[shown]))
    assert (terms["cross_entropy"][~shown] == 0).all()
    assert model.terms(batch._replace(y=torch.full_like(y, -1))).loss.item() == 0


def test_error_counts_the_wrong_labels():
    model = Classifier(Shapes(event=(3,), latent=(1,), classes=3), partial(mlp.Encoder, hidden=()))
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(3))
        model.head.bias.zero_()
    error = model.measures()["error"]
    error.update(model, Batch(torch.eye(3), torch.tensor([0, 1, 0]), torch.arange(3)))
    error.update(model, Batch(torch.eye(3)[:2], torch.tensor([0, -1]), torch.arange(2)))
    assert error.compute().item() == pytest.approx(1 / 4)


def test_evaluation_of_a_classifier_is_its_error(tmp_path):
    model, split = built("classifier").eval(), digits("classifier")
    results = evaluate(model, split, progress=False, limit=120)
    test = split.split("test")[:120]
    wrong = (model.logits(test.x).argmax(1) != test.y).double().mean().item()
    assert results["measures"] == {"error": pytest.approx(wrong)} and results["distortion"] is None
    assert f"{wrong:.4f}" in next(line for line in format_results(results).splitlines() if "error" in line.split()[:1])
    reasons = write_pictures(model, split, tmp_path)
    assert all(isinstance(reason, str) for reason in reasons.values()) and not list(tmp_path.iterdir())
