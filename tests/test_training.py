"""Terms, schedules, programmes and optimizers, and the numbers that a training run reports."""

import csv
import math
import pickle
from copy import deepcopy

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from tests.conftest import quick_trainer
from vaezoo import optimizers, settings, variant
from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.meters import NotFiniteError
from vaezoo.networks import mlp
from vaezoo.programme import Stage, Update, boundaries
from vaezoo.schedules import FORMS, Schedule
from vaezoo.terms import Terms
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.beta_vae import BetaVAE
from vaezoo.variants.vae import VAE
from vaezoo.variants.vae_gan import VAEGAN

# -- terms -------------------------------------------------------------------------------------------------------------


def some_terms():
    return Terms(distortion=torch.tensor([90.0, 110.0]), rate=torch.tensor([20.0, 30.0]), penalty=torch.tensor(7.0))


def test_weights_change_the_loss_and_not_what_is_reported():
    terms = some_terms()
    heavier = terms.weighted(rate=4.0, penalty=torch.tensor(0.5))
    assert terms.loss == 132 and heavier.loss == 100 + 4 * 25 + 0.5 * 7
    assert heavier.means == terms.means and heavier.elbo.tolist() == [-110, -140]


def test_weight_zero_is_reported_and_has_no_gradient():
    value = torch.tensor([1.0, 3.0], requires_grad=True)
    terms = Terms(distortion=torch.ones(2, requires_grad=True), shadow=value / 0.0).weighted(shadow=0)
    loss = terms.loss
    loss.backward()
    assert loss.item() == 1 and value.grad is None and terms.means["shadow"].isinf()


def test_means_asked_for_without_a_graph_leave_the_loss_its_gradient():
    value = torch.tensor([1.0, 3.0], requires_grad=True)
    terms = Terms(distortion=value.square())
    with torch.no_grad():
        assert terms.means["distortion"] == 5 and "distortion=5" in repr(terms)
    terms.loss.backward()
    assert value.grad.tolist() == [1, 3]


def test_every_rate_counts_in_the_elbo():
    terms = Terms(distortion=torch.ones(3), rate_1=torch.ones(3), rate_2=torch.ones(3), irate=torch.ones(3))
    assert terms.rates == ["rate_1", "rate_2"] and terms.elbo.tolist() == [-3, -3, -3]
    assert Terms(distortion=torch.ones(3)).elbo is None


def test_weighting_adds_to_the_weights_so_far():
    assert some_terms().weighted(rate=0.0).weighted(penalty=0.0).loss == 100


@pytest.mark.parametrize("weights", [{"rates": 1.0}, {"distortion": 0, "rate": 0, "penalty": 0}])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match=r"no term|every term"):
        _ = some_terms().weighted(**weights).loss


# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, values",
    [
        (3, {0: 3, 0.5: 3, 1: 3}),
        ({"linear": {"start": 1, "end": 3, "begin": 0.2, "until": 0.6}}, {0: 1, 0.2: 1, 0.4: 2, 0.6: 3, 1: 3}),
        ({"linear": {"start": 3, "end": 1}}, {0: 3, 0.5: 2, 1: 1}),
        ({"cosine": {"end": 2}}, {0: 0, 0.25: 1 - math.sqrt(0.5), 0.5: 1, 1: 2}),
        ({"cyclical": None}, {0: 0, 0.0625: 0.5, 0.125: 1, 0.2: 1, 0.25: 0, 0.3125: 0.5, 0.9: 1, 1: 1}),
        ({"cyclical": {"cycles": 2, "ramp": 1.0}}, {0: 0, 0.25: 0.5, 0.5: 0, 0.75: 0.5, 1: 1}),
    ],
)
def test_schedules_have_these_values(given, values):
    schedule = Schedule.of(given)
    assert {t: schedule.at(t) for t in values} == pytest.approx(values)
    for t, value in values.items():
        schedule.set(t)
        assert float(schedule()) == pytest.approx(value)


@pytest.mark.parametrize("form", FORMS)
def test_a_schedule_stands_at_its_end_before_training(form):
    schedule = Schedule(form)
    assert float(schedule()) == schedule.at(1.0) == 1.0 and not schedule.state_dict()


def test_a_constant_is_a_plain_number():
    assert isinstance(Schedule.of(2)(), float) and Schedule.of(schedule := Schedule("linear")) is schedule


def test_warmup_is_a_share_of_training():
    assert Schedule.warmup(0)() == 1 and Schedule.warmup(0.5).at(0.25) == 0.5
    with pytest.raises(UsageError, match=r"warmup=1.5 must be a share"):
        Schedule.warmup(1.5)


@pytest.mark.parametrize(
    "given, message",
    [
        ("abc", "expected a number or a schedule"),
        (True, "expected a number or a schedule"),
        ({}, "expected a number or a schedule"),
        ({"linear": {}, "cosine": {}}, "expected a number or a schedule"),
        ({"liner": {}}, "did you mean 'linear'"),
        ({"linear": {"stop": 1}}, "linear has no 'stop'"),
        ({"linear": {"untl": 1}}, "did you mean 'until'"),
        ({"linear": {"end": "x"}}, "linear.end expects a number"),
        (-1, "-1 must be at least 0.0"),
        ({"linear": {"start": -2}}, "must be at least 0.0; -2.0 is not"),
    ],
)
def test_wrong_schedules_are_told_in_one_line(given, message):
    with pytest.raises(UsageError, match=message) as caught:
        Schedule.of(given, minimum=0.0)
    assert "\n" not in str(caught.value)


# -- programmes --------------------------------------------------------------------------------------------------------


def stages(*shares):
    return [Stage(f"stage {share}", [], share) for share in shares]


@pytest.mark.parametrize(
    "shares, epochs, expected",
    [
        ((1,), 5, [0, 5]),
        ((1, 1), 5, [0, 2, 5]),
        ((0.1, 0.1, 1), 24, [0, 2, 4, 24]),
        ((0.001, 1), 10, [0, 1, 10]),
        ((1, 0.001, 0.001), 10, [0, 8, 9, 10]),
        ((1, 2, 3), 3, [0, 1, 2, 3]),
    ],
)
def test_stages_share_the_epochs_and_have_one_each(shares, epochs, expected):
    assert boundaries(stages(*shares), epochs) == expected


def test_too_few_epochs_are_refused():
    with pytest.raises(ValueError, match=r"max_epochs=1 is too few: the 2 stages \(stage 1, stage 2\)"):
        boundaries(stages(1, 2), 1)


def test_an_update_has_each_parameter_once():
    layer, bare = nn.Linear(2, 2), nn.Parameter(torch.zeros(()))
    update = Update("u", lambda batch: None, [layer, nn.Sequential(layer), bare, bare])
    assert [id(p) for p in update.parameters] == [id(layer.weight), id(layer.bias), id(bare)]


# -- optimizers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, message",
    [
        ({"lr_": 1}, "optimizer.lr_ is not an option; did you mean 'lr'"),
        ({"name": "adamm"}, "did you mean 'adam"),
        ({"schedule": "cosin"}, "optimizer.schedule=cosin is unknown"),
        ({"lr": 0}, "optimizer.lr=0 must be positive"),
    ],
)
def test_wrong_optimizer_options_are_told_in_one_line(given, message):
    with pytest.raises(UsageError, match=message) as caught:
        optimizers.options(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given, values",
    [
        ({}, {0: 2, 1: 2}),
        ({"warmup": 0.5}, {0: 0, 0.25: 1, 0.5: 2, 1: 2}),
        ({"schedule": "linear", "final": 0.5}, {0: 2, 0.5: 1.5, 1: 1}),
        ({"schedule": "cosine"}, {0: 2, 0.5: 1, 1: 0}),
        ({"schedule": "linear", "warmup": 0.2}, {0: 0, 0.1: 1, 0.2: 2, 0.6: 1, 1: 0}),
    ],
)
def test_learning_rates_have_these_values(given, values):
    chosen = optimizers.options({"lr": 2, **given})
    assert {t: optimizers.learning_rate(chosen, t) for t in values} == pytest.approx(values)


def test_optimizer_gets_the_options_it_knows():
    chosen = optimizers.options({"name": "adamw", "lr": 0.1, "betas": [0.5, 0.9], "weight_decay": 0.2})
    optimizer = optimizers.make([nn.Parameter(torch.zeros(3))], chosen)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {key: optimizer.defaults[key] for key in ("lr", "betas", "weight_decay")} == {
        "lr": 0.1,
        "betas": (0.5, 0.9),
        "weight_decay": 0.2,
    }


def test_every_optimizer_of_the_settings_is_one_of_torch_and_moves():
    for name in settings.OPTIMIZERS:
        x = nn.Parameter(torch.ones(3))
        optimizer = optimizers.make([x], optimizers.options({"name": name}))
        x.square().sum().backward()
        optimizer.step()
        assert type(optimizer).__name__.lower() == name and (x < 1).all(), name


def test_arguments_of_an_optimizer_reach_it_and_others_are_refused():
    chosen = optimizers.options({"name": "sgd", "args": {"momentum": 0.9}})
    assert optimizers.make([nn.Parameter(torch.ones(3))], chosen).defaults["momentum"] == 0.9
    for given, message in (
        ({"name": "sgd", "args": {"momentm": 0.9}}, "did you mean 'momentum'"),
        ({"name": "sgd", "args": {"lr": 0.9}}, "optimizer.args.lr"),
        ({"name": "sgd", "eps": 1e-3}, "optimizer.eps=0.001 has no effect"),
        ({"name": "rprop", "betas": [0.5, 0.9]}, "optimizer.betas=.* has no effect"),
    ):
        with pytest.raises(UsageError, match=message):
            optimizers.options(given)


@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.AdamW])
def test_steps_of_an_optimizer_are_those_of_torch(cls):
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((5, 3), (3,), ())]
    theirs = deepcopy(ours)
    chosen = optimizers.options({"name": cls.__name__.lower(), "weight_decay": 0.1})
    optimizer, other = optimizers.make(ours, chosen), cls(theirs, lr=1e-3, weight_decay=0.1, fused=True)
    kept = []
    for number in range(12):
        if number == 4:
            optimizer.load_state_dict(deepcopy(optimizer.state_dict()))
        if number == 8:
            optimizer = pickle.loads(pickle.dumps(optimizer))
            ours = optimizer.param_groups[0]["params"]
        optimizer.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.01 * number
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        if number in (0, 6):
            ours[1].grad = theirs[1].grad = None
        kept.append(optimizer._kept is not None)
        assert optimizer.step(lambda: 3.0) == 3.0
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            assert torch.equal(p, q)
            for name, value in other.state.get(q, {}).items():
                assert torch.equal(optimizer.state[p][name], value)
    # a step without a gradient, without a state, or after a load is torch's own
    assert kept == [False, False, True, True, False, True, True, True, False, True, True, True]


@pytest.mark.parametrize("option", [{"amsgrad": True}, {"maximize": True}, {"fused": False}])
def test_unusual_steps_of_an_optimizer_are_left_to_torch(option):
    ours, theirs = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    both = [(ours, optimizers.Adam([ours], **{"fused": True, **option}))]
    both += [(theirs, torch.optim.Adam([theirs], **{"fused": True, **option}))]
    for number in range(4):
        for parameter, optimizer in both:
            parameter.grad = torch.tensor([1.0, -2.0, 0.5]) / (1 + number)
            optimizer.step()
    assert torch.equal(ours, theirs)


def test_players_that_share_a_pass_have_the_gradients_of_their_own_losses_at_the_same_weights(digits):
    model, batch, found = small(VAEGAN, digits), digits.split("train")[:20], {}
    before = deepcopy(model)

    def look(trainer, model, optimizer):
        update = model.stage.updates[trainer.optimizers.index(optimizer)]
        found[update.name] = [None if p.grad is None else p.grad.clone() for p in update.parameters]

    trainer = quick_trainer(limit_val_batches=0, callbacks=[LambdaCallback(on_before_optimizer_step=look)])
    trainer.fit(model, DataLoader([batch], batch_size=None))
    for update in before.stages[0].updates:
        noise.reseed(variant.TRAINING, before.seed, 0)
        loss = before.stages[0].terms(update, batch).loss
        alone = torch.autograd.grad(loss, update.parameters, allow_unused=True)
        torch.testing.assert_close(found[update.name], list(alone), rtol=1e-5, atol=1e-6)
    assert list(found) == ["encoder", "decoder", "critic"]


def test_a_critic_like_a_ready_encoder_has_weights_of_its_own(digits):
    model = small(VAEGAN, digits)
    shared = {id(p) for p in model.encoder.parameters()} & {id(p) for p in model.critic.parameters()}
    assert not shared


def test_a_player_that_shares_a_pass_cannot_be_repeated():
    with pytest.raises(ValueError, match="critic cannot share a pass and be repeated"):
        Stage("game", [Update("critic", lambda seen: None, [], repeats=2)], shared=lambda batch: batch)


@pytest.mark.parametrize("cls", [VAE, VAEGAN])
def test_clip_bounds_the_gradient_of_every_player(cls, digits, monkeypatch):
    norms = []

    def step(self, closure=None):
        if closure is not None:
            closure()
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    model = small(cls, digits, optimizer={"clip": 0.01})
    quick_trainer(limit_train_batches=2, limit_val_batches=0).fit(model, datamodule=digits)
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3) and len(norms) == 2 * len(model.stage.updates)


# -- what is reported --------------------------------------------------------------------------------------------------


def small(cls, data, **options):
    networks = {"encoder": mlp.Encoder(data.shapes((3,)), (8,)), "decoder": mlp.Decoder(data.shapes((3,)), (8,))}
    return cls(shapes=data.shapes((3,)), **networks, **options)


def logged(folder, part):
    """Rows of metrics.csv with ``part`` in them, as numbers."""
    with open(next(folder.rglob("metrics.csv")), newline="") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if any(key.startswith(f"{part}/") for key in row)]


def test_logged_terms_are_raw_and_add_up_to_the_logged_loss(digits, tmp_path):
    model = small(BetaVAE, digits, beta=4.0)
    logger = CSVLogger(tmp_path)
    quick_trainer(max_epochs=2, logger=logger, log_every_n_steps=2).fit(model, datamodule=digits)
    for part in ("train", "val"):
        rows = logged(tmp_path, part)
        assert rows
        for row in rows:
            total = row[f"{part}/distortion"] + 4 * row[f"{part}/rate"]
            assert row[f"{part}/loss"] == pytest.approx(total, rel=1e-5)
    assert rows[-1]["val/elbo"] == pytest.approx(-rows[-1]["val/distortion"] - rows[-1]["val/rate"], rel=1e-5)


def test_validation_weighs_every_example_equally(digits):
    model, batch = small(Autoencoder, digits), digits.split("val")[:20]
    ragged = [batch, Batch(torch.zeros(1, 1, 8, 8), None, torch.zeros(1, dtype=torch.long))]
    (metrics,) = quick_trainer().validate(model, DataLoader(ragged, batch_size=None), verbose=False)
    each = torch.cat([model.terms(part)["distortion"] for part in ragged])
    assert metrics["val/distortion"] == metrics["val/loss"] == pytest.approx(each.mean().item(), rel=1e-5)
    assert metrics["val/loss"] != pytest.approx((each[:-1].mean() + each[-1]).item() / 2, rel=1e-2)


@pytest.mark.parametrize("cls", [Autoencoder, VAE, BetaVAE, VAEGAN])
def test_training_and_validation_report_the_same_terms(cls, digits, monkeypatch):
    monkeypatch.setattr(variant, "VALIDATION", variant.TRAINING)  # the same noise
    model, batch = small(cls, digits, optimizer={"lr": 1e-30}), digits.split("train")[:20]
    trainer = quick_trainer()
    loader = DataLoader([batch], batch_size=None)
    trainer.fit(model, loader, loader)
    prefix = "" if model.automatic_optimization else "encoder/"
    for name in model.terms(batch):
        assert trainer.callback_metrics[f"val/{name}"].item() == pytest.approx(
            model.meters.latest[prefix + name], rel=1e-5
        )


def test_a_term_that_is_not_finite_is_named_with_its_batch(digits):
    class Broken(VAE):
        def terms(self, batch: Batch) -> Terms:
            terms = super().terms(batch)
            poison = math.nan if self.training and self.batches_seen == 2 else 1.0
            return Terms(distortion=terms["distortion"], rate=terms["rate"] * poison)

    with pytest.raises(NotFiniteError, match=r"rate became nan at batch 3 \(epoch 0\)"):
        quick_trainer(log_every_n_steps=3).fit(small(Broken, digits), datamodule=digits)
