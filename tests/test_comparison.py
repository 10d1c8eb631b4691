"""Runs side by side: which belong together, what may be compared, and what stands out."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from tests.synthetic import synthetic_run
from vaezoo import runs
from vaezoo.comparison import Comparison, compare, paired
from vaezoo.tables.sheet import ordered
from vaezoo.tables.table import table


def _compared(place: Path) -> Comparison:
    return compare([runs.read(path) for path in runs.find(place)])


def _row(comparison: Comparison, label: str) -> Any:
    return next(row for row in comparison.rows if row.label == label)


def test_runs_that_differ_in_the_seed_only_are_one_row(tmp_path: Path) -> None:
    nlls = [30.0, 31.0, 33.0]
    for seed, nll in enumerate(nlls):
        synthetic_run(tmp_path / str(seed), "vae", seed, results={"nll": nll})
    synthetic_run(tmp_path / "other", "vae", 0, settings={"optimizer.lr": 0.01})
    comparison = _compared(tmp_path)
    assert [row.label for row in comparison.rows] == ["vae lr=0.001", "vae lr=0.01"]
    row = comparison.rows[0]
    assert row.n == 3 and row.failed == 0 and row.values["nll"] == nlls
    assert row.mean("nll") == pytest.approx(np.mean(nlls), abs=1e-12)
    assert row.sd("nll") == pytest.approx(np.std(nlls, ddof=1), abs=1e-12)
    assert comparison.rows[1].sd("nll") is None
    assert len(row.key) == 8 and row.key != comparison.rows[1].key


def test_where_a_run_was_computed_makes_no_row_but_its_precision_does(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", seed=0)
    synthetic_run(tmp_path / "b", seed=1, settings={"hardware.accelerator": "cuda", "dataset.root": "/elsewhere"})
    synthetic_run(tmp_path / "c", seed=2, settings={"hardware.precision": "bf16-mixed"})
    assert [row.label for row in _compared(tmp_path).rows] == ["vae precision=32-true", "vae precision=bf16-mixed"]


def test_a_number_is_the_same_with_and_without_its_point(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "beta_vae", 0, settings={"variant.beta": 4})
    synthetic_run(tmp_path / "b", "beta_vae", 1, settings={"variant.beta": 4.0})
    assert [row.label for row in _compared(tmp_path).rows] == ["beta_vae"]


def test_a_job_that_has_not_started_belongs_to_the_runs_with_its_overrides(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "beta_vae", 0, settings={"variant.beta": 8})
    synthetic_run(tmp_path / "b", "beta_vae", 1, settings={"variant.beta": 8}, state="queued")
    synthetic_run(tmp_path / "c", "beta_vae", 0, settings={"variant.beta": 2}, state="queued")
    synthetic_run(tmp_path / "d", "beta_vae", 2, settings={"variant.beta": 8}, state="failed", reason="ValueError: no")
    comparison = _compared(tmp_path)
    assert [(row.label, row.n, row.failed) for row in comparison.rows] == [
        ("beta_vae beta=2", 0, 1),
        ("beta_vae beta=8", 1, 2),
    ]
    assert set(comparison.rows[1].flags) == {"1 of 3 queued", "1 of 3 failed"}
    assert comparison.rows[1].values["nll"].count(None) == 2
    assert len(comparison.groups()) == 1


def test_labels_are_short_and_unique(tmp_path: Path) -> None:
    rows = [{"variant.beta": b, "optimizer.lr": lr, "latent": n} for b in (1, 4) for lr in (0.1, 0.01) for n in (2, 3)]
    for index, settings in enumerate(rows):
        synthetic_run(tmp_path / f"a{index}", "beta_vae", settings=settings, pictures=False)
    synthetic_run(tmp_path / "vae", "vae")
    synthetic_run(tmp_path / "near", "beta_vae", settings={**rows[0], "optimizer.lr": 0.1000001})
    labels = [row.label for row in _compared(tmp_path).rows]
    assert len(set(labels)) == len(labels) == 10
    assert "vae" in labels and "beta_vae beta=4 latent=3 lr=0.01" in labels
    assert max(map(len, labels)) < 60


def test_groups_are_what_nats_may_be_compared_in(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a")
    synthetic_run(tmp_path / "b", likelihood="gaussian")
    synthetic_run(tmp_path / "c", dataset="mnist")
    synthetic_run(tmp_path / "d", dataset="mnist", settings={"dataset.binarise": "dynamic"})
    synthetic_run(tmp_path / "e", "cvae", record={"shapes": {"condition": [10]}})
    titles = [(group.dataset, group.likelihood) for group in _compared(tmp_path).groups()]
    assert titles == [
        ("digits", "bernoulli"),
        ("digits", "bernoulli given labels"),
        ("digits", "gaussian"),
        ("mnist", "bernoulli"),
        ("mnist (binarise=dynamic)", "bernoulli"),
    ]


def test_a_likelihood_with_another_k_is_left_out_and_says_so(tmp_path: Path) -> None:
    for seed in (0, 1):
        synthetic_run(tmp_path / str(seed), "vae", seed)
    synthetic_run(tmp_path / "few", "iwae", results={"k": 5, "nll": 20.0})
    other = {"split": "test", "images": 360, "k": 100, "nll": 29.0, "reasons": {}}
    synthetic_run(tmp_path / "both", "miwae", results={"k": 5000, "nll": 28.0, "others": [other]})
    comparison = _compared(tmp_path)
    assert comparison.metrics["nll"].label == "NLL (K=100)"
    few = _row(comparison, "iwae")
    assert few.mean("nll") is None and few.reasons["nll"] == "measured with K=5, others with K=100"
    assert few.mean("rate") is not None
    assert _row(comparison, "miwae").mean("nll") == 29.0


def test_no_training_loss_is_a_metric(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a")
    synthetic_run(tmp_path / "b", "vq_vae")
    metrics = _compared(tmp_path).metrics
    assert not [name for name in metrics if "loss" in name]
    assert metrics["elbo"].better == "higher" and metrics["nll"].better == "lower" and metrics["rate"].better is None
    assert metrics["measures.perplexity"].comparable is False


def test_scores_of_another_number_of_samples_are_left_out(tmp_path: Path) -> None:
    for index, n in enumerate((1000, 1000, 50)):
        quality = {"floor": {"fid_clf": 1.0, "kid_clf": 0.1, "n": n}, "prior": {"fid_clf": 9.0, "kid_clf": 2.0, "n": n}}
        synthetic_run(tmp_path / str(index), "vae", results={"quality": quality}, settings={"latent": 2 + index})
    comparison = _compared(tmp_path)
    assert [row.mean("fid_clf:prior") for row in comparison.rows] == [9.0, 9.0, None]
    assert "fid_clf:floor" not in comparison.metrics


def test_costs_are_comparable_on_one_machine_only(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a")
    assert _compared(tmp_path).metrics["images_per_second"].comparable is True
    synthetic_run(tmp_path / "b", "iwae", record={"hardware": {"accelerator": "cuda"}})
    assert _compared(tmp_path).metrics["images_per_second"].comparable is False


@pytest.mark.parametrize(
    ("variant", "changed", "flag"),
    [
        ("vae", {"rate": 0.001}, "posterior collapse"),
        ("vae", {"active_units": 0}, "posterior collapse"),
        ("vq_vae", {"measures": {"perplexity": 40.0}}, "dead codes"),
        ("vae", {"nll": None, "reasons": {"nll": "the result is nan"}}, "not finite"),
    ],
)
def test_flags(tmp_path: Path, variant: str, changed: dict[str, Any], flag: str) -> None:
    synthetic_run(tmp_path / "good", variant, 0)
    synthetic_run(tmp_path / "bad", variant, 1, results=changed)
    synthetic_run(tmp_path / "alone", variant, 1, results=changed, settings={"latent": 3})
    assert [row.flags for row in _compared(tmp_path).rows] == [[flag], [f"{flag} (1 of 2)"]]


def test_a_run_that_diverged_is_flagged(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", state="failed", reason="NotFiniteError: loss became nan at batch 7")
    assert _compared(tmp_path).rows[0].flags == ["not finite", "1 of 1 failed"]


def test_paired_test_agrees_with_scipy() -> None:
    noise = np.random.default_rng(0)
    a, b = noise.normal(size=6), noise.normal(0.5, size=6)
    expected = ttest_rel(a, b).pvalue
    assert paired(dict(enumerate(a)), dict(enumerate(b))) == pytest.approx(expected, rel=1e-9)
    three = {0: 1.0, 1: 2.0, 2: 4.0}
    assert paired(three, {0: 0.0, 1: 1.0, 2: 3.0}) == 0.0 and paired(three, three) == 1.0
    assert paired({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}) is None and paired(three, {1: 2.0, 2: 3.0}) is None


def test_better_pairs_seeds_and_leaves_out_what_it_cannot_test(tmp_path: Path) -> None:
    values = {"vae": [30.0, 32.0, 34.0], "iwae": [30.2, 31.8, 34.1], "beta_vae": [31.0, 33.1, 35.0]}
    for variant, nlls in values.items():
        for seed, nll in enumerate(nlls):
            synthetic_run(tmp_path / f"{variant}{seed}", variant, seed, results={"nll": nll})
    synthetic_run(tmp_path / "alone", "miwae", 0, results={"nll": 31.0})
    synthetic_run(tmp_path / "ae", "autoencoder", 0)
    comparison = _compared(tmp_path)
    standing = comparison.better("nll")
    assert standing is not None and standing.best.label == "miwae"  # the best mean, of one seed
    group = [row for row in comparison.rows if row.label != "miwae"]
    standing = comparison.better("nll", group)
    assert standing is not None and standing.best.label == "vae"
    assert [row.label for row in standing.ties] == ["iwae"]  # beta_vae is 1 nat worse for each seed
    assert standing.untested == []
    assert comparison.better("rate") is None


def test_what_is_no_likelihood_is_never_the_best(tmp_path: Path) -> None:
    relaxed = {"nll": "not a likelihood: binary cross-entropy of grey values"}
    synthetic_run(tmp_path / "a", results={"nll": 5.0, "reasons": relaxed})
    synthetic_run(tmp_path / "b", "iwae", results={"nll": 30.0})
    comparison = _compared(tmp_path)
    standing = comparison.better("nll")
    assert standing is not None and standing.best.label == "iwae"
    assert comparison.rows[1].flags == [relaxed["nll"]]


def test_a_row_with_a_failed_seed_can_be_the_best(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "vae", 0, results={"nll": 20.0})
    synthetic_run(tmp_path / "b", "vae", 1, state="failed", reason="RuntimeError: no")
    synthetic_run(tmp_path / "c", "iwae", 0, results={"nll": 30.0})
    standing = _compared(tmp_path).better("nll")
    assert standing is not None and standing.best.label == "vae" and standing.best.failed == 1


def test_two_seeds_and_speed_are_never_tested(tmp_path: Path) -> None:
    for seed in range(3):
        for variant, speed in (("vae", 1292.0), ("iwae", 199.0 + 2000 * (seed == 1))):
            record = {"images_per_second": speed}
            synthetic_run(tmp_path / f"{variant}{seed}", variant, seed, results={"nll": 30.0 + seed}, record=record)
    every = [runs.read(path) for path in runs.find(tmp_path)]
    nll, speed = (compare(every).better(name) for name in ("nll", "images_per_second"))
    assert nll is not None and len(nll.ties) == 1 and speed is not None and speed.ties == speed.untested == []
    few = compare([run for run in every if run.seed < 2]).better("nll")
    assert few is not None and few.ties == [] and len(few.untested) == 1


def test_a_run_that_its_evaluation_distrusts_is_flagged_and_never_the_best(tmp_path: Path) -> None:
    lost = "the critic won: all samples are equal"
    synthetic_run(tmp_path / "a", "vae_gan", 0, results={"squared_error": 0.1, "nll": 1.0, "flags": [lost]})
    synthetic_run(tmp_path / "b", "vae_gan", 1, results={"squared_error": 0.1, "nll": 1.0})
    synthetic_run(tmp_path / "c", "vae", 0, results={"squared_error": 5.0, "nll": 30.0})
    comparison = _compared(tmp_path)
    row = _row(comparison, "vae_gan")
    assert row.flags == [f"{lost} (1 of 2)"] and row.reasons["squared_error"] == row.flags[0]
    for metric in ("nll", "squared_error"):
        standing = comparison.better(metric)
        assert standing is not None and standing.best.label == "vae"
    assert [found.label for found in ordered(comparison, comparison.groups()[0])] == ["vae", "vae_gan"]
    assert "images_per_second" not in row.reasons


def test_a_row_says_how_many_of_its_seeds_were_measured(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "vae", 0)
    synthetic_run(tmp_path / "b", "vae", 1)
    (tmp_path / "b" / runs.RESULTS).unlink()
    synthetic_run(tmp_path / "c", "iwae", 0)
    synthetic_run(tmp_path / "d", "iwae", 1, results={"k": 5})
    comparison = _compared(tmp_path)
    assert _row(comparison, "vae").flags == ["1 of 2 finished seeds not evaluated"]
    assert _row(comparison, "vae").partly["rate"] == "seed 1: not evaluated"
    other = _row(comparison, "iwae")
    assert other.flags == [] and set(other.partly) == {"nll", "bits_per_dim"}
    text = table(comparison, "md", ["nll", "rate"])
    assert "1 of 2 finished seeds not evaluated" in text and text.count("seed 1: measured with K=5") == 1


def test_a_dataset_is_named_without_its_key_and_only_where_rows_of_several_meet(tmp_path: Path) -> None:
    for dataset in ("digits", "mnist"):
        for beta in (1, 4):
            settings = {"variant.beta": beta}
            synthetic_run(tmp_path / f"{dataset}{beta}", "beta_vae", settings=settings, dataset=dataset)
    rows = _compared(tmp_path).rows
    assert [row.label for row in rows] == [f"beta_vae {data} beta={b}" for data in ("digits", "mnist") for b in (1, 4)]
    assert [row.name for row in rows] == ["beta_vae beta=1", "beta_vae beta=4"] * 2


def test_differences_hold_what_distinguishes_rows_and_nothing_else(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "vae", 0)
    synthetic_run(tmp_path / "b", "beta_vae", 3, settings={"variant.beta": 4, "hardware.threads": 7})
    assert _compared(tmp_path).differences == {"variant": ["beta_vae", "vae"], "variant.beta": [4, None]}


def test_reasons_tell_what_a_model_cannot_have(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "autoencoder")
    row = _compared(tmp_path).rows[0]
    assert "p(x)" in row.reasons["nll"] and row.mean("nll") is None and row.mean("squared_error") is not None


def test_nothing_is_a_comparison_too() -> None:
    comparison = compare([])
    assert comparison.rows == [] and comparison.groups() == [] and comparison.metrics == {}


def test_comparison_does_not_import_torch() -> None:
    code = "import sys, vaezoo.comparison, vaezoo.tables.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
