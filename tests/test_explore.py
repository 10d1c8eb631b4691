"""The explorer's answers are the model's own, refusals are sentences, and its server answers this machine only."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from vaezoo import cli, compose, registry
from vaezoo.batch import Batch
from vaezoo.contract import subjects
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.distributions.poincare_ball import log_centre, mobius_add
from vaezoo.errors import UsageError
from vaezoo.explore.explorer import Explorer
from vaezoo.explore.latents import EXPLORE
from vaezoo.explore.neighbours import Neighbours
from vaezoo.explore.paths import geodesic, great_circle, straight
from vaezoo.explore.picture import data_url
from vaezoo.explore.run import open_run
from vaezoo.explore.server import QUESTIONS, Server
from vaezoo.shapes import Shapes
from vaezoo.train import train
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.vae import VAE

PANELS = {"pictures", "sliders", "codes", "interpolate", "labels", "draw"}


@cache
def explorer(variant: str, *overrides: str) -> Explorer:
    """Of an untrained small model of digits."""
    config = subjects.small(variant, *overrides)
    model = subjects.built(variant, config, _shapes(variant, *overrides))
    return Explorer(model, subjects.digits(variant), {"run": variant})


def _shapes(variant: str, *overrides: str) -> Shapes:
    latent = subjects.small(variant, *overrides).latent
    return subjects.digits(variant).shapes(subjects.latent_shape(latent))


def _variants() -> list:
    """All variants; the first of each family is quick enough for every run of the tests."""
    cards = {name: registry.card("variant", name) for name in registry.names("variant")}
    first = {card.family: name for name, card in reversed(cards.items())}
    return [name if name in first.values() else pytest.param(name, marks=pytest.mark.slow) for name in cards]


@pytest.mark.parametrize("variant", _variants())
def test_every_variant_gives_each_panel_or_a_sentence(variant: str) -> None:
    ours = explorer(variant)
    about = json.loads(json.dumps(ours.about(), allow_nan=False))
    assert set(about["reasons"]) == PANELS
    for panel, reason in about["reasons"].items():
        assert reason is None or (reason.endswith(".") and reason[0].isupper() and len(reason) > 20), panel
    questions = {
        "pictures": lambda: ours.encode(0),
        "interpolate": lambda: ours.interpolate(0, 1, steps=3),
        "draw": lambda: ours.draw(0) if about["source"] == "the prior" else {},
        "codes": lambda: ours.decode(codes=ours.encode(0)["codes"]),
        "sliders": lambda: ours.decode(ours.encode(0)["latent"]),
    }
    for panel, question in questions.items():
        if about["reasons"][panel] is None:
            json.dumps(question(), allow_nan=False)
        elif panel in ("pictures", "interpolate"):
            with pytest.raises(UsageError):
                question()


# -- single latents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["vae", "autoencoder", "stacked_autoencoder", "vq_vae", "vq_vae_2"])
def test_an_encoded_example_decodes_to_its_reconstruction(variant: str) -> None:
    ours = explorer(variant)
    batch = ours.examples.split[3:4]
    with torch.no_grad():
        x = ours.model.reconstruct(batch.x)[0]
    answer = ours.encode(3)
    assert answer["picture"] == data_url(x, ours.model.shapes.range)
    assert answer["original"] == data_url(batch.x[0])
    given = {"codes": answer["codes"]} if "codes" in answer else {"latent": answer["latent"]}
    assert ours.decode(**given)["picture"] == answer["picture"]


def test_a_moved_slider_moves_its_own_dimension(digits: DataModule) -> None:
    ours = Explorer(VAE(shapes=digits.shapes((3,))), digits)
    z = ours.encode(0)["latent"]
    z[1] += 2.0
    answer = ours.decode(z, moved=1)
    with torch.no_grad():
        assert answer["picture"] == data_url(ours.model.decode(torch.tensor([z])).mean[0])
    assert answer["latent"] == pytest.approx(z)


def test_sliders_are_sorted_by_rate_and_unused_dimensions_are_inactive(digits: DataModule) -> None:
    with noise.seeded(0):
        model = VAE(shapes=digits.shapes((3,)))
    with torch.no_grad():
        model.posterior.head.weight[[0, 2, 3, 4, 5]] = 0
        model.posterior.head.weight[1] *= 50
        model.posterior.head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, -3.0, -0.5]))  # log_std of the last three
    about = Explorer(model, digits).about()
    found = about["dimensions"]
    assert [d["index"] for d in found] == [1, 2, 0] and [d["active"] for d in found] == [True, False, False]
    assert found[1]["kl"] == pytest.approx(0.5 * (torch.tensor(-1.0).exp() - 1 + 1).item(), abs=1e-5)
    assert found[2]["kl"] == pytest.approx(0.0, abs=1e-6) and "KL" in about["ranked_by"]
    assert found[2]["low"] == pytest.approx(-3, abs=0.6) and found[2]["high"] == pytest.approx(3, abs=0.6)


def test_without_a_sum_over_dimensions_the_variance_sorts_and_says_why() -> None:
    about = explorer("vamp_vae").about()
    assert "variance" in about["ranked_by"] and "no closed form" in about["ranked_by"]
    assert all(d["kl"] is None for d in about["dimensions"])


def test_the_label_switch_changes_what_the_decoder_is_told() -> None:
    ours = explorer("cvae")
    assert ours.about()["labels"] == list(range(10))
    z = ours.encode(0)["latent"]
    with torch.no_grad():
        for label in (0, 9):
            told = torch.eye(10)[[label]]
            assert ours.decode(z, label=label)["picture"] == data_url(
                ours.model.decode(torch.tensor([z]), told).mean[0]
            )
    own = int(ours.examples.split[0:1].y[0])
    assert ours.decode(z)["picture"] == ours.decode(z, label=own)["picture"] == ours.encode(0)["picture"]
    with pytest.raises(UsageError, match="label=10 must be a whole number from 0 to 9"):
        ours.decode(z, label=10)


def test_a_condition_that_is_no_class_has_no_switch() -> None:
    ours = explorer("cvae", "variant.condition=image", "prior=standard")
    assert "no class" in ours.about()["reasons"]["labels"] and ours.about()["labels"] == []
    z = ours.encode(0)["latent"]
    assert ours.decode(z, index=0)["picture"] == ours.encode(0)["picture"]


def test_on_the_sphere_the_other_coordinates_give_way() -> None:
    ours = explorer("vae", "posterior=von_mises_fisher", "prior=uniform_sphere", "latent=5")
    z = ours.encode(0)["latent"]
    assert torch.tensor(z).norm().item() == pytest.approx(1, abs=1e-5)
    moved = torch.tensor(ours.decode([*z[:2], 0.8, *z[3:]], moved=2)["latent"])
    assert moved.norm().item() == pytest.approx(1, abs=1e-5) and moved[2].item() == pytest.approx(0.8, abs=1e-5)
    others = [0, 1, 3, 4]
    assert cosine_similarity(moved[others], torch.tensor(z)[others], dim=0).item() == pytest.approx(1, abs=1e-5)


def test_in_the_ball_a_point_beyond_the_edge_is_put_back() -> None:
    ours = explorer("vae", "posterior=poincare", "prior=poincare", "latent=4")
    z = torch.tensor(ours.decode([3.0, 4.0, 0.0, 0.0])["latent"])
    assert z.tolist() == pytest.approx([0.6, 0.8, 0, 0], abs=1e-4) and z.norm() < 1


def test_one_hot_latents_are_choices() -> None:
    ours = explorer("vae", "posterior=gumbel", "prior=uniform_categorical", "latent=[4,3]")
    assert {(d["low"], d["high"], d["step"]) for d in ours.about()["dimensions"]} == {(0, 2, 1)}
    with torch.no_grad():
        z = torch.eye(3)[[0, 2, 1, 0]][None]
        assert ours.decode([0, 2, 1, 0])["picture"] == data_url(ours.model.decode(z).mean[0])
    with pytest.raises(UsageError, match="choices below 3"):
        ours.decode([0, 3, 1, 0])


def test_draws_are_the_models_own() -> None:
    for variant in ("vae", "vq_vae", "vq_vae_2"):
        ours = explorer(variant)
        with torch.no_grad(), noise.seeded(EXPLORE, 7):
            x = ours.model.decode(ours.model.ancestral(1)).mean[0]
        assert ours.draw(7)["picture"] == data_url(x, ours.model.shapes.range), variant
        assert ours.draw(7) == ours.draw(7) and ours.draw(8) != ours.draw(7)


def test_an_autoencoder_draws_from_a_mixture_fitted_to_its_codes(digits: DataModule) -> None:
    ours = Explorer(Autoencoder(shapes=digits.shapes((3,))), digits)
    assert "mixture" in ours.about()["source"] and ours.about()["reasons"]["draw"] is None
    assert len(ours.draw(0)["latent"]) == 3


# -- ways --------------------------------------------------------------------------------------------------------------


def test_the_great_circle_has_unit_vectors_at_equal_angles() -> None:
    a, b = normalize(torch.randn(2, 6, dtype=torch.double, generator=torch.Generator().manual_seed(0)), dim=-1)
    z = great_circle(a, b, torch.linspace(0, 1, 5).double())
    assert torch.allclose(z.norm(dim=1), torch.ones(5).double()) and torch.allclose(z[[0, -1]], torch.stack([a, b]))
    angles = torch.arccos((z[1:] * z[:-1]).sum(1))
    assert torch.allclose(angles, torch.arccos((a * b).sum()) / 4)
    assert torch.allclose(great_circle(a, a, torch.tensor([0.5]).double())[0], a)
    with pytest.raises(UsageError, match="opposite"):
        great_circle(a, -a, torch.tensor([0.5]).double())


def test_the_geodesic_has_points_at_equal_distances() -> None:
    a, b = torch.tensor([0.5, -0.2]), torch.tensor([-0.3, 0.9])

    def distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return log_centre(mobius_add(-x.double(), y.double(), 0.7), 0.7).norm(dim=-1)

    z = geodesic(a, b, torch.linspace(0, 1, 5), 0.7)
    assert torch.allclose(z[[0, -1]], torch.stack([a, b]), atol=1e-5)
    assert torch.allclose(distance(z[:-1], z[1:]), distance(a, b).expand(4) / 4, atol=1e-4)


def test_the_straight_line_takes_grids_too() -> None:
    a, b = torch.zeros(2, 3, 3), torch.ones(2, 3, 3)
    assert torch.equal(straight(a, b, torch.tensor([0.0, 0.25, 1.0]))[:, 0, 0, 0], torch.tensor([0.0, 0.25, 1.0]))


def test_interpolation_ends_at_the_reconstructions() -> None:
    for overrides in ((), ("posterior=von_mises_fisher", "prior=uniform_sphere", "latent=5")):
        ours = explorer("vae", *overrides)
        pictures = ours.interpolate(0, 5, steps=4)["pictures"]
        assert len(pictures) == 4
        assert (pictures[0], pictures[-1]) == (ours.encode(0)["picture"], ours.encode(5)["picture"])


def test_there_is_no_way_between_codes_or_choices() -> None:
    for ours in (explorer("vq_vae"), explorer("vae", "posterior=gumbel", "prior=uniform_categorical", "latent=[4,3]")):
        with pytest.raises(UsageError, match="There is nothing between two"):
            ours.interpolate(0, 1)


# -- codes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["vq_vae", "vq_vae_2", "residual_vq_vae", "product_vq_vae", "fsq_vae", "lfq_vae"])
def test_changed_codes_are_decoded_and_leave_the_model_as_it_was(variant: str) -> None:
    ours = explorer(variant)
    codes = ours.encode(0)["codes"]
    levels = ours.about()["levels"]
    assert [len(level) for level in codes] == [n["books"] * n["rows"] * n["columns"] for n in levels]
    before = ours.encode(1)
    for level, size in enumerate(levels):
        changed = [[(code + 1) % size["values"] for code in one] if i == level else one for i, one in enumerate(codes)]
        with torch.no_grad():
            z = ours.maps.latent([codes, changed])
            x = ours.model.decode(z).mean
        assert not torch.equal(x[0], x[1]), f"level {level} does not reach the picture"
        assert ours.decode(codes=changed)["codes"] == changed
    assert ours.encode(1) == before


def test_usage_counts_every_code_of_the_split() -> None:
    ours = explorer("vq_vae_2")
    for level, size in zip(ours.usage()["levels"], ours.about()["levels"], strict=True):
        (book,) = level["books"]
        assert sum(count for _, count in book["counts"]) == len(ours.examples) * size["rows"] * size["columns"]
        counts = [count for _, count in book["counts"]]
        assert counts == sorted(counts, reverse=True) and 1 <= book["perplexity"] <= len(counts) + 1e-6


def test_alternatives_are_frequent_codes_in_one_cell() -> None:
    ours = explorer("vq_vae")
    codes = ours.encode(0)["codes"]
    found = ours.alternatives(codes, 0, 0)["codes"]
    assert [one["code"] for one in found] == [code for code, _ in ours.usage()["levels"][0]["books"][0]["counts"][:12]]
    changed = [[found[0]["code"], *codes[0][1:]]]
    assert found[0]["picture"] == ours.decode(codes=changed)["picture"]


@pytest.mark.parametrize("wrong", [[], [[0]], [["a"] * 4], [[-1, 0, 0, 0]], [[10**6, 0, 0, 0]], "codes"])
def test_wrong_codes_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="codes"):
        explorer("vq_vae").decode(codes=wrong)


# -- neighbours --------------------------------------------------------------------------------------------------------


def test_training_examples_are_their_own_nearest_neighbours(digits: DataModule) -> None:
    model = VAE(shapes=digits.shapes((3,))).eval()
    ours = Neighbours(model, digits.split("train"), digits.split("test"))
    wanted = torch.tensor([0, 700, len(digits.split("train")) - 1])
    with torch.no_grad():
        found = ours.find(digits.split("train")[wanted].x, None)
        distances = torch.cdist(digits.split("train")[wanted].x.flatten(1), digits.split("train")[:].x.flatten(1))
        for space, one in found.items():
            assert torch.equal(one.position[:, 0], wanted) and (one.distance[:, 0] < 1e-5).all()
            assert ours.percentiles(space, 0.0)["test"] == 0 and ours.percentiles(space, 1e9)["reconstructions"] == 100
    assert torch.allclose(found["pixels"].distance[:, 1:], distances.sort(1).values[:, 1:3], atol=1e-3)


def test_binarised_data_are_compared_as_they_are_stored() -> None:
    data = DataModule("digits", val_size=200, binarise="dynamic")
    data.setup()
    stored = DataModule("digits", val_size=200)
    stored.setup()
    model = VAE(shapes=data.shapes((3,))).eval()
    with torch.no_grad():
        found = Neighbours(model, data.split("train"), data.split("test")).find(stored.split("train")[5:6].x, None)
    assert found["pixels"].distance[0, 0] == 0 and found["pixels"].position[0, 0] == 5


def test_draws_come_with_neighbours_and_percentiles() -> None:
    ours = explorer("cvae")
    answer = ours.neighbours(n=2, seed=3)
    assert answer["training"] == len(ours.data.split("train")) and len(answer["samples"]) == 2
    for space in ("pixels", "features"):
        one = answer["samples"][0][space]
        distances = [n["distance"] for n in one["nearest"]]
        assert len(distances) == 3 and distances == sorted(distances)
        assert all(0 <= share <= 100 for share in one["percentiles"].values())


# -- what there is not -------------------------------------------------------------------------------------------------


def test_a_classifier_and_vectors_are_refused_in_one_sentence() -> None:
    reasons = set(explorer("classifier").about()["reasons"].values())
    assert len(reasons) == 1 and "no decoder" in reasons.pop()
    with pytest.raises(UsageError, match="no decoder"):
        explorer("classifier").encode(0)

    class Vectors:
        def split(self, name: str) -> "Vectors":
            return self

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: torch.Tensor) -> Batch:
            return Batch(torch.zeros(len(index), 5), None, index)

    vectors = Explorer(VAE(shapes=Shapes(event=(5,), latent=(2,))), Vectors())  # type: ignore[arg-type]
    assert "no pictures" in vectors.reasons["sliders"]


def test_a_grid_has_no_sliders_but_a_way(digits: DataModule) -> None:
    ours = explorer("vae", "encoder=conv", "decoder=conv", "latent=[3,2,2]")
    assert "grid" in ours.about()["reasons"]["sliders"]
    assert ours.interpolate(0, 1)["pictures"][0] == ours.encode(0)["picture"]
    assert "picture" in ours.draw(0) and "latent" not in ours.draw(0)


@pytest.mark.parametrize(
    "question, message",
    [
        (lambda e: e.encode(10**6), "index=1000000 must be a whole number"),
        (lambda e: e.encode(True), "index=True must be a whole number"),
        (lambda e: e.decode([0.0]), "list of"),
        (lambda e: e.decode(["a"] * 20), "finite numbers"),
        (lambda e: e.decode([float("nan")] * 20), "finite numbers"),
        (lambda e: e.decode([0.0] * 20, moved=20), "moved=20"),
        (lambda e: e.interpolate(0, 1, steps=1), "steps=1"),
        (lambda e: e.draw(-1), "seed=-1"),
        (lambda e: e.neighbours(n=0), "n=0"),
        (lambda e: e.usage(), "There are no codes"),
    ],
)
def test_values_out_of_range_are_refused(question, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        question(explorer("vae"))


# -- the server --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(explorer("vae")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def request(server: Server, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.headers)


def test_the_page_and_its_parts_are_served(server: Server) -> None:
    for path in ("/", "/page.css", "/page.js"):
        status, text, headers = request(server, "GET", path)
        assert status == 200 and len(text) > 1000
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "https://" not in text and "//cdn" not in text
    assert server.server_address[0] == "127.0.0.1"


def test_answers_over_http_are_those_of_the_explorer(server: Server) -> None:
    ours = server.explorer
    for name, arguments in {"about": {}, "encode": {"index": 2}, "interpolate": {"a": 0, "b": 1, "steps": 3}}.items():
        status, text, _ = request(server, "POST", f"/api/{name}", json.dumps(arguments))
        assert status == 200 and json.loads(text) == json.loads(json.dumps(getattr(ours, name)(**arguments)))


def test_every_question_is_a_method_and_no_other_method_is_reached(server: Server) -> None:
    assert all(callable(getattr(server.explorer, name)) for name in QUESTIONS)
    for path in (
        "/api/_draws",
        "/api/__init__",
        "/api/model",
        "/api/",
        "/about",
        "/api/about/../about",
        "/api/about?x=1",
    ):
        assert request(server, "POST", path, "{}")[0] == 404, path


@pytest.mark.parametrize(
    "path",
    ["/explorer.py", "/../explorer.py", "/page.css/../server.py", "//etc/passwd", "/%2e%2e/server.py", "/api/about"],
)
def test_no_path_reaches_a_file(server: Server, path: str) -> None:
    status, text, _ = request(server, "GET", path)
    assert status == 404 and "import" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:PORT"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost:PORT"},
    ],
)
def test_other_hosts_and_origins_are_refused(server: Server, headers: dict[str, str]) -> None:
    given = {name: value.replace("PORT", str(server.server_port)) for name, value in headers.items()}
    for method, path in (("GET", "/"), ("POST", "/api/about")):
        status, text, _ = request(server, method, path, "{}" if method == "POST" else None, **given)
        assert status == 403 and "nowhere else" in text
    good = f"localhost:{server.server_port}"
    assert request(server, "POST", "/api/about", "{}", Host=good, Origin=f"http://{good}")[0] == 200


@pytest.mark.parametrize(
    "body, headers, message",
    [
        ("{}", {"Content_Type": "text/plain"}, "application/json"),
        ("{}", {"Content_Length": "2000000"}, "at most"),
        ("{", {}, "not understood"),
        ("[]", {}, "not understood"),
        ('{"unknown": 1}', {}, "not understood"),
        ('{"index": 99999999}', {}, "index=99999999 must be a whole number"),
    ],
)
def test_wrong_questions_are_answered_in_one_sentence(server: Server, body: str, headers: dict, message: str) -> None:
    status, text, _ = request(server, "POST", "/api/encode", body, **headers)
    assert status == 400 and message in json.loads(text)["error"]


def test_a_port_that_is_taken_is_a_users_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="cannot be used"):
            Server(explorer("vae"), other.getsockname()[1])


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_run_is_opened_and_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "callbacks.pictures=false", "evaluate.k=0"]
    small = ["variant=beta_vae", "latent=2", "encoder.hidden=[8]", "decoder.hidden=[8]", "logger=none", "hardware=cpu"]
    train(compose(["dataset=digits", *small, *quick, f"run_dir={tmp_path / 'run'}"]))
    about = open_run(tmp_path / "run", tmp_path).about()
    assert (about["run"], about["variant"], about["dataset"]) == ("run", "beta_vae", "digits")
    assert "Higgins" in about["paper"] and about["url"].startswith("https://")
    capsys.readouterr()
    for folder, port, message in (
        (tmp_path, 0, "is not a run folder"),
        (tmp_path / "run", 70000, "--port: 70000 must be"),
    ):
        assert cli.main(["explore", str(folder), f"--port={port}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error
