"""Writes what the documentation derives from the code: a page per variant and part, and the tables.

`python docs/generate.py` also brings the generated sections of README.md up to date.
"""

import ast
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from vaezoo import describe, registry, yaml_page  # noqa: E402

OUT = DOCS / "reference"
PARTS = tuple(group for group in registry.GROUPS if group != "variant")
SECTION = re.compile(r"^(Args|Returns|Raises|Example|Yields):\s*$", re.MULTILINE)
ZOO = ("zoo", "zoo_conv")  # the experiments of the comparison
COLUMNS = ("prior", "mixture")  # samplers with a column in it
PUBLISHED = re.compile(r"published\s+(?:\w+\s+)?(-?\d+(?:\.\d+)?)")


# -- the pages of variants and parts -----------------------------------------------------------------------------------


def reference(out: Path = OUT) -> None:
    """Writes one page per variant and part, their indices and the table of results into ``out``."""
    out.mkdir(exist_ok=True)
    pages = {f"{group}-{name}.md": page(group, name) for group in registry.GROUPS for name in built_in(group)}
    pages |= {"variants.md": variants(), "parts.md": parts()}
    pages |= {"_results.md": results() + "\n", "_comparison.md": comparison() + "\n", "_speed.md": speed() + "\n"}
    pages["_orderings.md"] = orderings() + "\n"
    pages["_hardware.txt"] = yaml_page.page("hardware") + "\n"
    for file in out.glob("*.md"):
        if file.name not in pages:
            file.unlink()
    for name, text in pages.items():
        if not (out / name).is_file() or (out / name).read_text(encoding="utf-8") != text:
            (out / name).write_text(text, encoding="utf-8")


def built_in(group: str) -> list[str]:
    """Names of a group that come from this package."""
    return [name for name, entry in sorted(registry.entries(group).items()) if entry.distribution == "vaezoo"]


def page(group: str, name: str) -> str:
    """The page of one variant or part, in MyST Markdown."""
    entry, card = registry.find(group, name), registry.card(group, name)
    node = registry.definition(group, name)
    assert node is not None, f"{entry.target} is not where the registry says"
    text, sections = split(ast.get_docstring(node) or "")
    lines = [f"# `{name}`" + ("" if group == "variant" else f" ({group})"), ""]
    lines += [f"`{group}={name}` is `{entry.target.replace(':', '.')}`.", "", rst(text)]
    if options := describe.signature(group, name):
        lines += ["", "## Options", "", rst(option_table(group, options, arguments(sections.get("Args", ""))))]
    if raises := arguments(sections.get("Raises", "")):
        lines += ["", rst("\n".join(f"Raises ``{error}`` if {when}" for error, when in raises.items()))]
    if facts := card_table(group, card):
        lines += ["", "## Card", "", facts]
    if group == "variant" and (code := body(entry.target, node)):
        lines += ["", "## Code", "", "```python", code, "```"]
    return "\n".join(lines).rstrip() + "\n"


def split(docstring: str) -> tuple[str, dict[str, str]]:
    """A docstring's text, and its sections by title; a source that ends it belongs to the text."""
    source = re.search(r"^Source:[\s\S]*", docstring, re.MULTILINE)
    docstring = docstring[: source.start()] if source else docstring
    text, *rest = SECTION.split(docstring)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    for title, section in sections.items():  # what is not indented follows the section
        inside = re.match(r"(?:\s*\n|[ \t]+.*\n?)*", section)
        assert inside
        sections[title], after = section[: inside.end()], section[inside.end() :]
        text += after
    return "\n\n".join(filter(None, [text.strip(), source[0].strip() if source else ""])), sections


def arguments(section: str) -> dict[str, str]:
    """Name to meaning from the ``Args`` or ``Raises`` of a docstring."""
    found: dict[str, str] = {}
    for item in re.split(r"\n(?=\S)", textwrap.dedent(section).strip()):
        name, colon, meaning = item.partition(":")
        if colon:
            found[name.strip()] = " ".join(meaning.split())
    return found


def rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def option_table(group: str, options: Iterable[Sequence[str]], meanings: Mapping[str, str]) -> str:
    rows = [("option", "type", "default", "meaning")]
    rows += [(f"``{group}.{n}``", f"``{kind}``", f"``{value}``", meanings.get(n, "")) for n, kind, value in options]
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 20 18 14 48", ""]
    for row in rows:
        lines += [f"   {'* -' if k == 0 else '  -'} {cell}".rstrip() for k, cell in enumerate(row)]
    return "\n".join(lines)


def card_table(group: str, card: registry.Card) -> str:
    """What a class says about itself, as a Markdown table."""
    limits = "; ".join(f"[{other}](variant-{other}.md) at {values(at)}" for other, at in card.limits.items())
    facts = {
        "paper": f"[{card.paper}]({card.url})" if card.url else card.paper,
        "family": card.family,
        "status": status(card) if group == "variant" else "",
        "limits": limits,
        "default parts": ", ".join(f"[`{g}={p}`]({g}-{p}.md)" for g, p in card.defaults.items()),
        "needs": ", ".join(card.requires),
        "tests": ", ".join(f"`{name}`" for name in card.identities),
        "experiments": ", ".join(f"`{name}`" for name in card.reproduces),
    }
    rows = [f"| {title} | {text} |" for title, text in facts.items() if text]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def values(at: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in at.items()) or "its defaults"


def status(card: registry.Card) -> str:
    """The card's status; "reproduced" only where a result has been recorded."""
    if card.status == "reproduced" and not set(card.reproduces) & {stored["experiment"] for stored in recorded()}:
        return "verified" if card.identities else "experimental"
    return card.status


def body(target: str, node: ast.ClassDef) -> str:
    """The class without decorators and docstring; nothing if nothing is left."""
    statements = node.body[1:] if ast.get_docstring(node) else node.body
    if not statements:
        return ""
    module = target.partition(":")[0].split(".")
    source = ROOT.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8").splitlines()
    first = min([statements[0].lineno, *(d.lineno for d in getattr(statements[0], "decorator_list", []))])
    head = f"class {node.name}({', '.join(map(ast.unparse, node.bases))}):"
    return "\n".join([head, *source[first - 1 : node.end_lineno]])


# -- tables ------------------------------------------------------------------------------------------------------------


def variants() -> str:
    """The index of variants, by family."""
    lines = ["# Variants", "", STATUS, ""]
    for family, names in by_family().items():
        lines += [f"## {family}", "", variant_table(names), ""]
    toctree = "\n".join(f"{name} <variant-{name}>" for name in built_in("variant"))
    return "\n".join([*lines, f"```{{toctree}}\n:hidden:\n\n{toctree}\n```"]) + "\n"


def by_family() -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for name in built_in("variant"):
        families.setdefault(registry.card("variant", name).family or "other", []).append(name)
    return dict(sorted(families.items()))


def variant_table(names: Iterable[str]) -> str:
    """Papers, limits, tests, statuses and the length of each file, as a Markdown table with links to the pages."""
    lines = ["| variant | paper | becomes | tests | status | lines |", "|---|---|---|---|---|---|"]
    for name in names:
        card = registry.card("variant", name)
        paper = f"[{card.paper}]({card.url})" if card.url else card.paper
        limits = "; ".join(f"[`{other}`](variant-{other}.md) at {values(at)}" for other, at in card.limits.items())
        module = registry.find("variant", name).target.partition(":")[0].split(".")
        length = len(ROOT.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8").splitlines())
        tests = "<br>".join(f"`{test}`" for test in card.identities)
        cells = [f"[`{name}`](variant-{name}.md)", paper, limits, tests, status(card), str(length)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def family_table() -> str:
    """All variants in a row per family, those that are only experimental in italics."""
    lines = ["| family | variants |", "|---|---|"]
    for family, names in by_family().items():
        marks = {name: "*" if status(registry.card("variant", name)) == "experimental" else "" for name in names}
        lines.append(f"| {family} | {', '.join(f'{mark}`{name}`{mark}' for name, mark in marks.items())} |")
    return "\n".join(lines)


def parts() -> str:
    """The index of parts, by group."""
    lines = ["# Parts", "", "Any part goes with any variant that uses its group, unless the page says otherwise.", ""]
    for group in PARTS:
        lines += [f"## {group}", "", "| option | what it is |", "|---|---|"]
        lines += [f"| [`{name}`]({group}-{name}.md) | {summary(group, name)} |" for name in built_in(group)]
        lines += [""]
    toctree = "\n".join(f"{group}={name} <{group}-{name}>" for group in PARTS for name in built_in(group))
    return "\n".join([*lines, f"```{{toctree}}\n:hidden:\n\n{toctree}\n```"]) + "\n"


def summary(group: str, name: str) -> str:
    """The first sentence of a docstring, as Markdown."""
    node = registry.definition(group, name)
    first = " ".join(((ast.get_docstring(node) if node else "") or "").partition("\n\n")[0].split())
    first = re.sub(r":math:`([^`]*)`", lambda found: f"${found[1]}$".replace("|", r"\vert "), first)
    first = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", first)
    return first.replace("``", "`").replace("|", r"\|")


STATUS = """\
- *reproduced*: a recorded run stands beside a published number in the [results](../results.md).
- *verified*: tests pin its objective to an exact reference or an identity of the paper.
- *experimental*: it keeps the contract that every variant keeps; nothing more has been checked."""


# -- results -----------------------------------------------------------------------------------------------------------


def recorded(folder: Path = DOCS / "results") -> list[dict[str, Any]]:
    """The recorded runs: a file holds one run of an experiment, or several under ``runs``."""
    found = []
    for file in sorted(folder.glob("*.json")):
        stored = json.loads(file.read_text(encoding="utf-8"))
        for run in stored.get("runs", [stored]):
            changes = [text for text in run.get("overrides", []) if not text.startswith("experiment=")]
            found.append(
                {"experiment": file.stem, "sweep": "runs" in stored, **run, "name": " ".join([file.stem, *changes])}
            )
    return found


def results(sweeps: bool = True) -> str:
    """The recorded runs of experiments as a Markdown table, without those of the comparison of all variants.

    Args:
        sweeps: with the experiments of which there are several runs.
    """
    runs = [run for run in recorded() if run["experiment"] not in ZOO and (sweeps or not run["sweep"])]
    if not runs:
        return "No results are recorded yet."
    titles = ["run", "variant", "dataset", "NLL (nats)", "K", "bits/dim", "squared error", "published", "own measures"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for run in runs:
        about = experiment(run["experiment"])
        error = run.get("nll_standard_error")
        nll = number(run.get("nll")) + (f" ± {number(error)}" if error is not None else "")
        k = str(run.get("k") or "") if nll else ""
        cells = [f"`{run['name']}`", *(str(run.get(key) or about.get(key) or "") for key in ("variant", "dataset"))]
        cells += [nll, k, number(run.get("bits_per_dim"), 3), number(run.get("squared_error"))]
        cells += [number(run.get("published", about.get("published"))), _own(run)]
        lines.append(f"| {' | '.join(cell or '–' for cell in cells)} |")
    return "\n".join(lines)


def comparison() -> str:
    """The runs in which every variant has the same small budget, as a Markdown table."""
    runs = sorted((run for run in recorded() if run["experiment"] in ZOO), key=_standing)
    if not runs:
        return "No comparison is recorded yet."
    titles = ["variant", "NLL", "distortion", "rate", "active units", "squared error", "fid_clf prior"]
    titles += ["fid_clf mixture", "own measures", "parameters", "images/s"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for run in runs:
        quality, training = run.get("quality") or {}, run["training"]
        fids = [number((quality.get(sampler) or {}).get("fid_clf"), 1) for sampler in COLUMNS]
        cells = [f"`{_label(run)}`", number(run.get("nll")), number(run.get("distortion")), number(run.get("rate"))]
        active = run.get("active_units")
        cells += ["" if active is None else str(active), number(run.get("squared_error")), *fids, _own(run, COLUMNS)]
        cells += [str(training["parameters"]["total"]), f"{training['images_per_second']:.0f}"]
        lines.append(f"| {' | '.join(cell or '–' for cell in cells)} |")
    return "\n".join(lines)


def orderings() -> str:
    """The runs of experiment=orderings, the seeds of a model in one row, best mean first, as a Markdown table."""
    models: dict[str, list[dict[str, Any]]] = {}
    for run in recorded():
        if run["experiment"] == "orderings":
            chosen = [text for text in run["overrides"] if not text.startswith(("experiment=", "seed="))]
            models.setdefault(" ".join(chosen), []).append(run)
    rows = []
    for name, runs in models.items():
        runs.sort(key=lambda run: run["training"]["seed"])
        each = [run["nll"] for run in runs]
        active, mean = [str(run["active_units"]) for run in runs], sum(each) / len(each)
        rows.append((mean, f"| `{name}` | {number(mean)} | {', '.join(map(number, each))} | {', '.join(active)} |"))
    lines = ["| model | mean NLL | of each seed | active units |", "|---|---|---|---|"]
    return "\n".join([*lines, *(row for _, row in sorted(rows))])


def speed() -> str:
    """What the benchmarks of training measured, as a Markdown table."""
    lines = ["| command | measure | value |", "|---|---|---|"]
    for name in ("training", "variants", "relative", "denormal", "memory"):
        bench = json.loads((DOCS / "results" / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
        lines += [f"| `{bench['command']}` | {key} | {number(value)} |" for key, value in bench["found"].items()]
    return "\n".join(lines)


def _own(run: Mapping[str, Any], elsewhere: Sequence[str] = ()) -> str:
    """The variant's own measures; for codes bits/dim under the learned prior and under a uniform one.

    Args:
        run: a recorded run.
        elsewhere: samplers whose quality has a column of its own.
    """
    measures = {name.replace("_", " "): value for name, value in (run.get("measures") or {}).items()}
    uniform = measures.pop("uniform rate", None)
    if uniform is not None and run.get("bits_per_dim"):
        measures["bits/dim"] = run["bits_per_dim"]
        measures["bits/dim with a uniform prior"] = run["bits_per_dim"] * (run["distortion"] + uniform) / run["nll"]
    quality = {name: value for name, value in (run.get("quality") or {}).items() if isinstance(value, dict)}
    measures["conditional accuracy"] = quality.get("prior", {}).get("conditional_accuracy")
    for sampler in sorted(quality.keys() - {"floor", *elsewhere}):
        measures[f"fid_clf {sampler}"] = quality[sampler]["fid_clf"]
    return "; ".join(f"{name} {value:.3g}" for name, value in measures.items() if value is not None)


def _standing(run: Mapping[str, Any]) -> tuple[bool, float, str]:
    """Runs with a likelihood first, the best on top."""
    return (run.get("nll") is None, run.get("nll") or run.get("squared_error") or 0.0, _label(run))


def _label(run: Mapping[str, Any]) -> str:
    """The variant and what else its run chose."""
    chosen = [text for text in run.get("overrides", []) if not text.startswith(("experiment=", "variant="))]
    return " ".join([run["variant"], *(["conv"] if run["experiment"] == "zoo_conv" else []), *chosen])


def number(value: Any, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}" if isinstance(value, int | float) else str(value)


def experiment(name: str) -> dict[str, Any]:
    """Variant, dataset and published number of an experiment, as its file states them."""
    file = ROOT / "conf" / "experiment" / f"{name}.yaml"
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8")
    about: dict[str, Any] = dict(re.findall(r"override /(variant|dataset): *(\w+)", text))
    comment = " ".join(line for line in text.splitlines() if line.startswith("#"))
    if found := PUBLISHED.search(comment):
        about["published"] = float(found[1])
    return about


# -- README ------------------------------------------------------------------------------------------------------------


def readme(text: str) -> str:
    """README.md with its generated sections brought up to date."""
    for title, new in {"variants": family_table(), "results": results(sweeps=False)}.items():
        begin, end = f"<!-- {title}: generated by docs/generate.py -->", f"<!-- end of {title} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"README.md has no section between {begin!r} and {end!r}")
        text = f"{before}{begin}\n\n{new}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    reference()
    file = ROOT / "README.md"
    file.write_text(readme(file.read_text(encoding="utf-8")), encoding="utf-8")
