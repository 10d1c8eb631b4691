"""What `vaezoo new` writes: a variant that works and is meant to be changed."""

import keyword
from pathlib import Path
from string import Template

from vaezoo import registry
from vaezoo.errors import UsageError

VARIANT = '''\
"""$title: say in one line what it is."""

from typing import Any

from vaezoo import Batch, Schedule, Terms, Variational, register


@register(
    paper="Authors, venue and year, equation",
    url="https://",
    family="gaussian",
    limits={"vae": {"weight": 1.0}},  # with weight=1 it must be the VAE; the contract checks that
)
class $cls(Variational):
    r"""Says in one sentence what the objective does that the VAE's does not.

    .. math:: \\mathcal L = -E_{q(z|x)} \\log p(x|z) + w\\, KL(q(z|x)\\,\\|\\,p(z))

    Args:
        weight: weight w of the rate, >= 0; a number or a schedule such as ``{linear:{start:0,end:1,until:0.1}}``.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: weight is negative.
    """

    def __init__(self, weight: float | Schedule = 2.0, **parts: Any) -> None:
        super().__init__(**parts)
        self.weight = Schedule.of(weight, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        return self.elbo(batch.x, self.condition(batch)).weighted(rate=self.weight())
'''
PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$distribution"
version = "0.1.0"
description = "The variant $name for vaezoo"
requires-python = ">=3.10"
dependencies = ["vaezoo"]

[project.entry-points."vaezoo.variants"]
$name = "$package.$name:$cls"

[project.entry-points."vaezoo.conf"]
$name = "$package.conf"

[tool.hatch.build.targets.wheel]
packages = ["src/$package"]
"""
EXPERIMENT = """\
# @package _global_
# vaezoo train experiment=${name}_digits
defaults:
  - override /variant: $name
  - override /dataset: digits

trainer:
  max_epochs: 20
"""
TEST = """\
from vaezoo.contract import check_variant


def test_${name}_keeps_the_contract():
    check_variant("$name")
"""
README = """\
# $distribution

The variant `$name` for [vaezoo](https://pypi.org/project/vaezoo/).

    pip install -e .
    vaezoo show $name
    vaezoo train experiment=${name}_digits
    pytest
"""
PACKAGE = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "src/$package/__init__.py": '"""The variant $name for vaezoo."""\n',
    "src/$package/$name.py": VARIANT,
    "src/$package/conf/experiment/${name}_digits.yaml": EXPERIMENT,
    "tests/test_$name.py": TEST,
}
AFTER_PACKAGE = """\
wrote $distribution: change src/$package/$name.py, and meanwhile

  pip install -e $distribution
  vaezoo train experiment=${name}_digits
  pytest $distribution"""
AFTER_FILE = """\
wrote $name.py: put it into a package of yours and add to its pyproject.toml

  [project.entry-points."vaezoo.variants"]
  $name = "YOUR_PACKAGE.$name:$cls"

then install that package again; `vaezoo new $name --package` writes a whole package instead"""


def write(name: str, folder: Path, package: bool = False) -> str:
    """Write a variant, or a package around one, and say what to do next.

    Args:
        name: snake_case name, the option it will be.
        folder: where to write.
        package: write an installable package with a test and an experiment.

    Raises:
        UsageError: the name is no snake_case word or is taken, or a file is in the way.
    """
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name) or name.startswith("_"):
        raise UsageError(f"{name!r} must be snake_case, e.g. my_variant")
    if name in registry.names("variant"):
        raise UsageError(f"variant={name} exists already ({registry.entries('variant')[name].target})")
    words = {
        "name": name,
        "cls": "".join(word.title() for word in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
        "package": f"vaezoo_{name}",
        "distribution": f"vaezoo-{name.replace('_', '-')}",
    }
    files = {f"$distribution/{path}": text for path, text in PACKAGE.items()} if package else {"$name.py": VARIANT}
    for template, text in files.items():
        path = folder / Template(template).substitute(words)
        if path.exists():
            raise UsageError(f"{path} exists already")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(text).substitute(words), encoding="utf-8")
    return Template(AFTER_PACKAGE if package else AFTER_FILE).substitute(words)
