"""Members that are trained at once are the runs that they would be alone."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file

import vaezoo
from vaezoo.cli import main
from vaezoo.distributions import noise
from vaezoo.ensemble.draws import MemberNoise, Unforeseen
from vaezoo.ensemble.plan import plan
from vaezoo.ensemble.stacked import clip_each
from vaezoo.errors import UsageError
from vaezoo.meters import NotFiniteError

SMALL = [
    *("encoder.hidden=[16]", "decoder.hidden=[16]", "latent=2", "dataset.train_size=300", "seed=3"),
    *("trainer.progress_bar=false", "trainer.max_epochs=2", "trainer.log_every_n_batches=2"),
    *("callbacks=none", "hardware.threads=1", "evaluate.k=3"),
]
SCHEDULED = "variant.beta={linear:{start:0,end:4,until:0.8}}"
BETAS = "hardware.ensemble={variant.beta:[0.5,4]}"


def run(folder, *overrides):
    return vaezoo.train(vaezoo.compose([*SMALL, *overrides, f"run_dir={folder}"]))


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").open()))


def assert_same(one, other, tolerance: float) -> None:
    """Two run folders hold the same weights, metrics and results."""
    weights = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=tolerance, atol=tolerance)
    for a, b in zip(rows(one), rows(other), strict=True):
        assert list(a) == list(b)
        assert [float(v) for v in a.values() if v] == pytest.approx([float(v) for v in b.values() if v], rel=tolerance)
    results = [json.loads((folder / "results.json").read_text()) for folder in (one, other)]
    for name in ("elbo", "distortion", "rate", "nll", "mutual_information", "squared_error"):
        assert results[0][name] == pytest.approx(results[1][name], rel=tolerance, abs=tolerance)


CASES = {
    "vae, with another batch for the rest": ["variant=vae", "dataset.batch_size=128"],
    "schedules of beta and learning rate, clipped": [
        *("variant=beta_vae", SCHEDULED, "optimizer.clip=20"),
        *("optimizer.schedule=cosine", "optimizer.warmup=0.3", "optimizer.weight_decay=0.1", "optimizer.name=adamw"),
    ],
    "iwae": ["variant=iwae", "variant.samples=3"],
    "vamp_vae": ["variant=vamp_vae", "prior.components=5", "prior.from_data=true"],
    "dynamic binarisation": ["variant=vae", "dataset.binarise=dynamic", "likelihood=bernoulli"],
}


@pytest.mark.parametrize("case", CASES)
def test_members_equal_separate_runs(tmp_path, case) -> None:
    together = run(tmp_path / "together", "hardware.ensemble=2", *CASES[case])
    assert [member.path.name for member in together.members] == ["seed=3", "seed=4"]
    weights = [torch.cat([p.flatten() for p in member.model.parameters()]) for member in together.members]
    assert (weights[0] - weights[1]).norm() > 0.1
    run(tmp_path / "alone", *CASES[case], "seed=4")
    assert_same(tmp_path / "together" / "seed=4", tmp_path / "alone", 1e-5)


def test_in_double_precision_only_the_order_of_sums_is_left(tmp_path) -> None:
    chosen = ["hardware.precision=64-true", "variant=beta_vae", SCHEDULED]
    run(tmp_path / "together", "hardware.ensemble=2", *chosen)
    run(tmp_path / "alone", *chosen)
    assert_same(tmp_path / "together" / "seed=3", tmp_path / "alone", 1e-11)


def test_values_of_a_schedule_and_of_a_number(tmp_path) -> None:
    betas = run(tmp_path / "beta", BETAS, "variant=beta_vae")
    run(tmp_path / "one", "variant=beta_vae", "variant.beta=0.5")
    assert_same(betas.members[0].path, tmp_path / "one", 1e-5)
    run(tmp_path / "bits", "hardware.ensemble={variant.free:[0.1,0.7]}", "variant=free_bits_vae")
    run(tmp_path / "two", "variant=free_bits_vae", "variant.free=0.7")
    assert_same(tmp_path / "bits" / "variant.free=0.7", tmp_path / "two", 1e-5)


def test_a_member_folder_is_a_run(tmp_path, capsys) -> None:
    together = run(tmp_path / "together", BETAS, "variant=beta_vae", "callbacks.pictures=true", "trainer.max_epochs=1")
    for member, beta in zip(together.members, (0.5, 4), strict=True):
        assert {"reconstructions.png", "samples.png"} <= {file.name for file in (member.path / "pictures").iterdir()}
        assert vaezoo.load(member.path).beta.arguments == {"value": beta}
        about = json.loads((member.path / "run.json").read_text())
        assert about["status"] == "finished" and about["ensemble"] == 2 and about["seconds"] > 0
    assert main(["evaluate", str(together.members[1].path), "--k", "5"]) == 0
    again = json.loads((together.members[1].path / "results.json").read_text())
    assert again["k"] == 5 and again["elbo"] == pytest.approx(together.members[1].results["elbo"], rel=1e-6)
    whole = json.loads((tmp_path / "together" / "run.json").read_text())
    assert whole["status"] == "finished" and whole["parameters"]["total"] == 2 * about["parameters"]["total"]


def test_a_member_that_is_not_finite_fails_alone(tmp_path) -> None:
    chosen = ["variant=beta_vae", "hardware.ensemble={variant.beta:[0.5,1e300]}"]
    with pytest.raises(NotFiniteError, match=r"^variant.beta=1e\+300: \w+ became \w+ at batch"):
        run(tmp_path / "together", *chosen)
    status = {path.parent.name: json.loads(path.read_text())["status"] for path in tmp_path.glob("together/*/run.json")}
    assert status == {"variant.beta=0.5": "finished", "variant.beta=1e+300": "failed"}
    run(tmp_path / "one", "variant=beta_vae", "variant.beta=0.5")
    assert_same(tmp_path / "together" / "variant.beta=0.5", tmp_path / "one", 1e-5)


def test_gradients_are_clipped_per_member() -> None:
    gradients = [torch.randn(3, 4, 5), torch.randn(3, 6)]
    gradients[0][1] *= 1e-3
    gradients[1][1] *= 1e-3
    expected = []
    for number in range(3):
        alone = [torch.nn.Parameter(torch.zeros_like(gradient[number])) for gradient in gradients]
        for parameter, gradient in zip(alone, gradients, strict=True):
            parameter.grad = gradient[number].clone()
        torch.nn.utils.clip_grad_norm_(alone, 2.0)
        expected.append([parameter.grad for parameter in alone])
    clip_each(gradients, 2.0)
    for number in range(3):
        for gradient, alone in zip(gradients, expected[number], strict=True):
            torch.testing.assert_close(gradient[number], alone)


def test_noise_is_that_of_the_default_generator_and_may_change() -> None:
    own = MemberNoise([3, 8])

    def draws(counts: tuple[int, ...]) -> torch.Tensor:
        ready = own.ahead("here")

        def one(number: torch.Tensor, ready: list[torch.Tensor] | None) -> torch.Tensor:
            with own.of(number, "here", ready):
                return torch.cat([noise.normal((count,), torch.zeros(())) for count in counts])

        return torch.vmap(one, in_dims=(0, 0 if ready else None))(torch.arange(2), ready)

    for counts in ((20, 7), (20, 7)):  # drawn under vmap, then ahead of it
        own.reseed(0, 5)
        drawn = draws(counts)
        for row, seed in zip(drawn, (3, 8), strict=True):
            noise.reseed(0, seed, 5)
            assert torch.equal(row, torch.cat([torch.randn(count) for count in counts]))
    own.reseed(0, 6)
    with pytest.raises(Unforeseen):
        draws((20, 9))
    own.restart()
    noise.reseed(0, 8, 6)
    assert torch.equal(draws((20, 9))[1], torch.cat([torch.randn(20), torch.randn(9)]))


REFUSED = {
    "several players": (["variant=factor_vae"], "several players"),
    "moving state": (["variant=geco_vae"], "GecoVAE keeps state that no gradient moves"),
    "gradient hook": (["variant=dreg_iwae"], "not that of a run of its own"),
    "shape of the computation": (["variant=iwae", "hardware.ensemble={variant.samples:[1,5]}"], "at once"),
    "shape of the weights": (["hardware.ensemble={prior.components:[2,3]}", "prior=mixture"], "stacked"),
    "resume": (["resume=nowhere"], "nowhere"),
    "early stopping": (["trainer.early_stopping=3"], "trainer.early_stopping=3"),
    "unknown key": (["hardware.ensemble={variant.bta:[1,2]}"], "no variant.bta"),
    "key of another group": (["hardware.ensemble={optimizer.lr:[1,2]}"], "must be an option of variant"),
    "values out of range": (["variant=iwae", "hardware.ensemble={variant.samples:[0,5]}"], "variant.samples=0"),
    "equal values": (["variant=beta_vae", "hardware.ensemble={variant.beta:[2,2]}"], "different values"),
    "no number": (["hardware.ensemble=0"], "at least 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence_before_any_work(tmp_path, case) -> None:
    chosen, reason = REFUSED[case]
    ensemble = [] if any("hardware.ensemble" in text for text in chosen) else ["hardware.ensemble=2"]
    with pytest.raises(UsageError, match=reason) as refusal:
        run(tmp_path / "together", *ensemble, *chosen)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "together").exists()


def test_plan_gives_each_member_the_configuration_of_its_own_run(tmp_path) -> None:
    config = vaezoo.compose([*SMALL, "hardware.ensemble=3", f"run_dir={tmp_path}"])
    for seed, (name, own) in zip((3, 4, 5), plan(config).items(), strict=True):
        assert name == f"seed={seed}" and own.seed == own.dataset.seed == seed and own.hardware.ensemble == 1
        assert own.run_dir == f"{tmp_path}/{name}" and own.overrides[-1] == name
        assert not [text for text in own.overrides if text.startswith("hardware.ensemble")]
    assert config.seed == 3
