"""Every command and every Python block of README.md and docs/ runs, and what is generated is up to date."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from vaezoo import registry
from vaezoo.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]*?) -->\n+)?```(?P<kind>bash|console|python)\n(?P<text>.*?)\n```", re.S
)
QUICK = ["trainer=debug", "trainer.max_epochs=1", "callbacks.pictures=false", "evaluate.k=0"]  # budgets for a test
REAL = ("mnist", "fashion_mnist", "frey_faces")


class Block(NamedTuple):
    kind: str
    text: str
    reason: str | None  # why it is not run


def blocks(page: Path) -> list[Block]:
    return [Block(found["kind"], found["text"], found["reason"]) for found in BLOCK.finditer(page.read_text())]


def commands(text: str) -> Iterator[str]:
    """The commands of a block; a quotation or a here-document may span lines."""
    pending = ""
    for line in text.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if end := re.search(r"<<'(\w+)'", pending):
            if line != end[1]:
                continue
        elif pending.count('"') % 2 or pending.count("'") % 2:
            continue
        yield pending
        pending = ""
    assert not pending, f"unfinished command: {pending}"


def vaezoo(command: str) -> None:
    """Runs a vaezoo command in this process; exit code 0 is success."""
    _, *arguments = shlex.split(command)
    arguments = [name for word in arguments for name in (sorted(glob(word)) or [word])]
    if arguments[0] == "train" and "--cfg" not in arguments:
        arguments += quick(arguments)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    assert code == 0, f"exit code {code}: {command}"


def quick(arguments: list[str]) -> list[str]:
    """A budget that a test can afford; a resumed run needs one epoch more than it has."""
    if any(word.startswith("resume=") for word in arguments):
        return ["trainer.max_epochs=2", *QUICK[2:]]
    return QUICK


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own to work in; what commands change in this process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("VAEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    yield tmp_path
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_python_blocks_run(
    page: Path, place: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page):
        if block.reason is not None:
            continue
        if block.kind == "python":
            exec(compile(block.text, str(page), "exec"), names)
            continue
        for command in commands(block.text):
            if not command.startswith("vaezoo "):
                subprocess.run(["bash", "-euc", command.replace("python ", f"{sys.executable} ", 1)], check=True)
                continue
            if re.search(rf"dataset=({'|'.join(REAL)})\b", command):
                try:
                    monkeypatch.setenv("VAEZOO_DATA", str(request.getfixturevalue("real_data")))
                except pytest.skip.Exception:
                    continue
            vaezoo(command)


def test_what_is_not_run_says_why() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.reason is None or len(block.reason) > 5, f"{page.name}: {block.text}"
        fences = len(re.findall(r"^```(?:bash|console|python)$", page.read_text(), re.M))
        assert fences == len(blocks(page)), f"{page.name} has a block that is not found"


def test_readme_has_exactly_two_set_up_lines() -> None:
    lines = re.findall(r"^pip install -e .*$", (ROOT / "README.md").read_text(), re.M)
    assert lines == ["pip install -e . && vaezoo train", 'pip install -e ".[dev]" && pytest']


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            if not target.startswith("reference/"):
                assert (page.parent / target).is_file(), f"{page.name} links to {target}"


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_sections_of_the_readme_are_up_to_date() -> None:
    text = (ROOT / "README.md").read_text()
    assert generator().readme(text) == text, "run: python docs/generate.py"


def test_every_option_of_a_variant_or_part_is_explained(tmp_path: Path) -> None:
    """Each has a page, and each of its options a meaning in the docstring."""
    generate = generator()
    generate.reference(tmp_path)
    for group in registry.GROUPS:
        for name in generate.built_in(group):
            text = (tmp_path / f"{group}-{name}.md").read_text()
            rows = re.findall(r"\* - ``([^`]+)``\n     - .*\n     - .*\n     -(.*)", text)
            silent = [option for option, meaning in rows if not meaning.strip()]
            assert not silent, f"{group}={name} does not explain {', '.join(silent)}"


def test_results_table_survives_missing_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deterministic model has no likelihood; an experiment may be unknown."""
    generate = generator()
    full = {"experiment": "vae_mnist", "nll": 86.123, "nll_standard_error": 0.2, "k": 5000, "bits_per_dim": 0.158}
    sweep = {"runs": [{"overrides": ["experiment=sweep", "seed=1"], "nll": None, "k": 5000, "squared_error": 7.0}]}
    files = {"vae_mnist": full, "sweep": sweep}
    for name, stored in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(stored))
    stored = generate.recorded(tmp_path)
    monkeypatch.setattr(generate, "recorded", lambda: stored)
    table = generate.results().splitlines()
    assert table[2] == "| `sweep seed=1` | – | – | – | – | – | 7.00 | – | – |"
    assert table[3] == "| `vae_mnist` | vae | mnist | 86.12 ± 0.20 | 5000 | 0.158 | – | 84.45 | – |"
