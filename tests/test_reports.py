"""Tables and figures of runs, as `vaezoo table` and `vaezoo figure` give them."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.synthetic import synthetic_run
from vaezoo import cli, colours, registry, runs
from vaezoo.comparison import Comparison, compare
from vaezoo.figures.fence import fence
from vaezoo.tables.sheet import sheet
from vaezoo.tables.table import FORMATS, table

BETAS = (1, 4, 16)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of three seeds, an autoencoder, a quantizer, another likelihood, and a job that failed."""
    place = tmp_path_factory.mktemp("sweep")
    for seed in range(3):
        for number, beta in enumerate(BETAS):
            measured = {"nll": 30.0 + 2 * number + 0.1 * seed, "rate": 12.0 / beta}
            synthetic_run(
                place / f"b{beta}-{seed}", "beta_vae", seed, settings={"variant.beta": beta}, results=measured
            )
        synthetic_run(place / f"i{seed}", "iwae", seed, results={"nll": 30.05 + 0.05 * seed**2})
    synthetic_run(place / "ae", "autoencoder")
    synthetic_run(place / "vq", "vq_vae", settings={"posterior.codes": 512}, results={"measures": {"perplexity": 9.0}})
    synthetic_run(place / "vae", "vae", likelihood="gaussian", results={"nll": -20.0})
    synthetic_run(place / "bad", "vae", state="failed", reason="RuntimeError: no memory")
    return place


@pytest.fixture(scope="module")
def compared(place: Path) -> Comparison:
    return compare([runs.read(path) for path in runs.find(place)])


# -- tables ------------------------------------------------------------------------------------------------------------


def test_md_marks_the_best_and_what_is_not_significantly_worse(compared: Comparison) -> None:
    lines = table(compared, "md", ["nll"]).splitlines()
    assert lines[0] == "**digits, bernoulli: test split, 360 images, K=100**"
    assert lines[2] == "| model | seeds | NLL (K=100) ↓ |"
    assert lines[4] == "| `beta_vae beta=1` | 3 | **30.10 ± 0.10** |"
    assert lines[5] == "| `iwae` | 3 | 30.13 ± 0.10 ≈ |"
    assert "| `beta_vae beta=4` | 3 | 32.10 ± 0.10 |" in lines
    assert any("paired t-test" in line for line in lines)


def test_footnotes_say_why_there_is_no_value_and_what_failed(compared: Comparison) -> None:
    text = table(compared, "md", ["nll", "active_units"])
    notes = dict(re.findall(r"^([⁰¹²³⁴⁵⁶⁷⁸⁹]+) (.*?)(?:<br>)?$", text.partition("\n\n**")[0], re.MULTILINE))
    marks = {text: mark for mark, text in notes.items()}
    no_prior = marks["no prior: a deterministic autoencoder defines no p(x)"]
    assert f"| `autoencoder` | 1 | –{no_prior} | –{no_prior} |" in text
    assert f"| `vq_vae`{marks['dead codes']} | 1 |" in text
    assert f"| `vae`{marks['1 of 1 failed']} | 0 of 1 | – | – |" in text


def test_rows_are_sorted_with_the_best_on_top_and_the_unmeasured_last(compared: Comparison) -> None:
    group = compared.groups()[0]
    labels = [label for label, *_ in sheet(compared, group, ["nll", "elbo"]).rows]
    assert labels[:2] == ["beta_vae beta=1", "iwae"] and set(labels[-2:]) == {"autoencoder", "vae"}
    assert next(label for label, *_ in sheet(compared, group, ["nll"], "rate").rows) == "beta_vae beta=16"


def test_a_column_that_no_row_of_a_group_has_is_left_out(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a", "autoencoder")
    only = compare([runs.read(tmp_path / "a")])
    assert "NLL" not in table(only, "md") and "squared error" in table(only, "md")


def test_csv_holds_every_digit_and_the_standing(compared: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(table(compared, "csv"))))
    by_model = {row["model"]: row for row in rows}
    assert len(rows) == len(compared.rows)
    iwae = next(row for row in compared.rows if row.label == "iwae")
    assert float(by_model["iwae"]["nll"]) == iwae.mean("nll") and by_model["iwae"]["nll_standing"] == "tie"
    assert by_model["beta_vae beta=1"]["nll_standing"] == "best" and by_model["beta_vae beta=4"]["nll_standing"] == ""
    assert by_model["vq_vae"]["nll_standing"] == "untested" and by_model["vq_vae"]["flags"] == "dead codes"
    assert by_model["vae likelihood=bernoulli"]["finished"] == "0" and "rate_standing" not in rows[0]


def test_tex_is_escaped_and_balanced(compared: Comparison) -> None:
    text = table(compared, "tex")
    assert r"beta\_vae beta=1 & 3 & \textbf{30.10} $\pm$ 0.10" in text
    assert r"iwae & 3 & 30.13 $\pm$ 0.10 $\approx$" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    for body in re.findall(r"\\midrule\n([\s\S]*?)\\bottomrule", text):
        lines = body.strip().splitlines()
        assert len({line.count("&") for line in lines}) == 1 and all(line.endswith(r"\\") for line in lines)
    assert not re.search(r"(?<!\\)[_%#]", text.partition("\n")[2]) and text.isascii()


def test_txt_lies_in_columns_and_marks_the_best_without_colours(compared: Comparison) -> None:
    lines = table(compared, "txt", ["nll", "rate"]).splitlines()
    assert any(re.search(r"beta_vae beta=1 +3 +\*30.10 ± 0.10 +12.00 ± 0.00$", line) for line in lines)
    assert "*: the best mean of its table." in lines


def test_a_single_row_is_not_the_best(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "a")
    assert all("**3" not in line for line in table(compare([runs.read(tmp_path / "a")]), "md").splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "{}", "--format", "mdd"], "--format mdd is unknown; did you mean 'md'?"),
        (["table", "{}", "--metrics", "nll,rte"], "no run has the metric rte; did you mean 'rate'?"),
        (["table", "{}", "--sort", "val/loss"], "no run has the metric val/loss"),
        (["table", "{}/nowhere"], "is not a folder"),
        (["figure", "{}", "--kind", "curve"], "--kind curve is unknown; did you mean 'curves'?"),
        (["figure", "{}", "-o", "x.gif"], "x.gif must end in one of .png, .svg, .pdf"),
    ],
)
def test_a_wrong_argument_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main([argument.format(place) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_empty_place_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", str(tmp_path)]) == 2
    assert "there is no run in" in capsys.readouterr().err


@pytest.mark.parametrize("format", FORMATS)
def test_the_command_prints_every_format(place: Path, capsys: pytest.CaptureFixture[str], format: str) -> None:
    assert cli.main(["table", str(place), "--format", format, "--metrics", "nll"]) == 0
    assert "iwae" in capsys.readouterr().out


def test_table_and_figure_do_not_import_torch(place: Path) -> None:
    code = "import sys; from vaezoo.cli import main; main(['table', sys.argv[1]]); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, check=False)
    assert done.returncode == 0


# -- colours -----------------------------------------------------------------------------------------------------------


def test_no_two_built_in_variants_look_alike() -> None:
    names = [name for name, entry in registry.entries("variant").items() if entry.distribution == "vaezoo"]
    for shape in (colours.marker, colours.dash):
        assert len({(colours.colour(name), shape(name)) for name in names}) == len(names)
    main = ("vae", "beta_vae", "iwae", "vamp_vae", "vq_vae", "wae_mmd", "beta_tcvae", "autoencoder")
    assert len(set(map(colours.colour, main))) == len(main)


def test_colours_stand_out_on_white_and_in_the_dark() -> None:
    for colour in (*colours.COLOURS, colours.colour("a_plugin_of_mine")):
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) >= 3 and (luminance + 0.05) / (0.0085 + 0.05) >= 3


# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(place: Path, tmp_path: Path) -> "Drawer":
    pytest.importorskip("matplotlib")
    return Drawer(place, tmp_path)


class Drawer:
    """Runs the command and gives the file."""

    def __init__(self, place: Path, folder: Path) -> None:
        self.place, self.folder = place, folder

    def __call__(self, kind: str, suffix: str) -> Path:
        file = self.folder / f"{kind}{suffix}"
        assert cli.main(["figure", str(self.place), "--kind", kind, "-o", str(file)]) == 0
        return file


@pytest.mark.parametrize("kind", ["reconstructions", "samples", "traversals"])
def test_pictures_of_all_rows_are_there(drawn: Drawer, kind: str) -> None:
    image = np.asarray(Image.open(drawn(kind, ".png")).convert("L"))
    assert image.shape[1] == 1400 and (image < 250).mean() > 0.2


def test_pictures_of_several_likelihoods_stand_beside_each_other(tmp_path: Path) -> None:
    pictures = pytest.importorskip("vaezoo.figures.pictures")
    for variant, likelihood in (("vae", "bernoulli"), ("cvae", "bernoulli"), ("vae_gan", "gaussian")):
        synthetic_run(tmp_path / variant, variant, likelihood=likelihood)
    for name in ("damaged", "none"):
        synthetic_run(tmp_path / name, "iwae", settings={"latent": len(name)}, pictures=name == "damaged")
    (tmp_path / "damaged" / "pictures" / "samples.png").write_bytes(b"")
    found = compare([runs.read(path) for path in runs.find(tmp_path)])
    names = [text.get_text() for text in pictures.draw(found, "samples").texts]
    assert sorted(names) == ["cvae (bernoulli)", "digits", "vae (bernoulli)", "vae_gan (gaussian)"]
    names = [text.get_text() for text in pictures.draw(found, "reconstructions").texts]
    assert names[:2] == ["digits", "data"] and names.count("data") == 1 and len(names) == 6  # one block, same inputs


def test_figures_name_every_row(drawn: Drawer, compared: Comparison) -> None:
    svg = drawn("curves", ".svg").read_text()
    assert all(re.search(f">{re.escape(row.name)}<", svg) for row in compared.rows)
    svg = drawn("rd", ".svg").read_text()
    assert all(f">{name}<" in svg for name in ("beta_vae", "iwae", "vq_vae", "beta=1", "beta=4", "beta=16"))
    assert "autoencoder" not in svg and ">ELBO −" in svg
    svg = drawn("kl", ".svg").read_text()
    assert ">beta_vae beta=4<" in svg and "vq_vae" not in svg


def test_the_same_figure_is_the_same_file(drawn: Drawer) -> None:
    first = drawn("kl", ".svg").read_bytes()
    assert drawn("kl", ".svg").read_bytes() == first


def test_pdf_too(drawn: Drawer) -> None:
    assert drawn("samples", ".pdf").read_bytes().startswith(b"%PDF")


def test_a_figure_of_what_no_run_has_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    synthetic_run(tmp_path / "run", "autoencoder", pictures=False)
    for kind in ("rd", "kl", "samples"):
        assert cli.main(["figure", str(tmp_path / "run"), "--kind", kind, "-o", str(tmp_path / "x.png")]) == 2
        assert capsys.readouterr().err.startswith("error: no ") and not (tmp_path / "x.png").exists()


def test_without_matplotlib_the_error_says_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vaezoo.figures.figure.find_spec", lambda name: None)
    assert cli.main(["figure", str(place)]) == 2
    assert capsys.readouterr().err == 'error: figures need matplotlib: pip install "vaezoo[report]"\n'


def test_far_out_values_do_not_squeeze_a_picture() -> None:
    assert fence([*range(10, 20), 400]) == (10, 19)
    assert fence([1, 400]) == (1, 400)
