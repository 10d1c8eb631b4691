"""Which variants and parts exist: the files of our folders, and the entry points of other packages.

A name is the stem of its file, or the name of its entry point. Nothing is imported until a class is asked for.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from vaezoo.errors import UsageError, near

PACKAGE = Path(__file__).parent
GROUPS = ("variant", "encoder", "decoder", "posterior", "prior", "likelihood")
HANDED = ("shapes", "optimizer", "seed", *GROUPS)  # arguments of variants and parts that vaezoo.build gives
_FOLDERS = {
    "variant": "variants",
    "encoder": "networks",
    "decoder": "networks",
    "posterior": "posteriors",
    "prior": "priors",
    "likelihood": "likelihoods",
}
_T = TypeVar("_T", bound=type)


@dataclass(frozen=True)
class Card:
    """What a class says about itself without being imported.

    Args:
        paper: authors, venue, year and equation.
        url: address of the paper.
        family: family it is listed under.
        limits: for another name, the arguments at which this one becomes it.
        defaults: for a group, the part that is chosen unless the user chooses one.
        latent: the size of z unless the user chooses one; that of a posterior wins over that of a variant.
        requires: what a variant needs: ``labels`` of the data, ``factorised``: a rate per latent dimension.
        identities: names of the tests that pin its objective.
        reproduces: experiments that reproduce a published number.
    """

    paper: str = ""
    url: str = ""
    family: str = ""
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    latent: int | tuple[int, ...] | None = None
    requires: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    reproduces: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """``reproduced``, ``verified`` or ``experimental``."""
        return "reproduced" if self.reproduces else "verified" if self.identities else "experimental"


def register(
    *,
    paper: str = "",
    url: str = "",
    family: str = "",
    limits: Mapping[str, Mapping[str, Any]] | None = None,
    defaults: Mapping[str, str] | None = None,
    latent: int | tuple[int, ...] | None = None,
    requires: tuple[str, ...] = (),
    identities: tuple[str, ...] = (),
    reproduces: tuple[str, ...] = (),
) -> Callable[[_T], _T]:
    """Attach a `Card` to a class as ``cls.card``; the arguments are literals, for they are read without importing."""
    card = Card(paper, url, family, limits or {}, defaults or {}, latent, requires, identities, reproduces)

    def attach(cls: _T) -> _T:
        cls.card = card  # type: ignore[attr-defined]
        return cls

    return attach


@dataclass(frozen=True)
class Entry:
    """One name of one group.

    Args:
        name: what the user writes.
        group: one of `GROUPS`.
        target: ``module:Class``.
        distribution: name of the installed package that it comes from.
        broken: why it cannot be used, or None.
    """

    name: str
    group: str
    target: str
    distribution: str = "vaezoo"
    broken: str | None = None


def names(group: str) -> list[str]:
    """Names of a group, sorted; broken ones included."""
    return sorted(entries(group))


def find(group: str, name: str) -> Entry:
    """The entry of a name.

    Raises:
        UsageError: the name is unknown, or broken.
    """
    known = entries(group)
    if name not in known:
        options = ", ".join(sorted(known))
        raise UsageError(f"{group}={name} is unknown{near(name, known)} (options: {options})")
    entry = known[name]
    if entry.broken:
        raise UsageError(f"{group}={name} of {entry.distribution} cannot be used: {entry.broken}")
    return entry


def load(group: str, name: str) -> type:
    """Import the class of a name.

    Raises:
        UsageError: the name is unknown or broken, or a plugin fails to import.
    """
    entry = find(group, name)
    module, _, attribute = entry.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        if entry.distribution == "vaezoo":
            raise
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"{group}={name} of {entry.distribution} cannot be imported ({reason})") from error


def card(group: str, name: str) -> Card:
    """The card of a name, read from its source."""
    node = definition(group, name)
    if node is None:
        return getattr(load(group, name), "card", Card())
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "register":
            allowed = {f.name for f in fields(Card)}
            return Card(**{k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg in allowed})
    return Card()


def definition(group: str, name: str) -> ast.ClassDef | None:
    """Syntax tree of the class of a name, or None if its source cannot be found without importing it."""
    found = _class(*find(group, name).target.split(":"))
    return found[1] if found else None


def initialiser(group: str, name: str) -> ast.FunctionDef | None:
    """Syntax tree of ``__init__`` of a class or of the base it inherits it from; None if it is not in the sources."""
    return _initialiser(*find(group, name).target.split(":"))


def _initialiser(module: str, attribute: str) -> ast.FunctionDef | None:
    found = _class(module, attribute)
    if found is None:
        return None
    home, node = found
    own = (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__")
    inherited = (init for base in node.bases if (init := _initialiser(home, ast.unparse(base))))
    return next(own, None) or next(inherited, None)


@cache
def entries(group: str) -> dict[str, Entry]:
    """Every entry of a group by name; a name that two packages claim is broken."""
    found: dict[str, Entry] = {}
    for entry in [*_built_in(group), *_third_party(group)]:
        if rival := found.get(entry.name):
            reason = f"both {rival.distribution} ({rival.target}) and {entry.distribution} ({entry.target}) define it"
            entry = Entry(entry.name, group, entry.target, f"{rival.distribution}, {entry.distribution}", reason)
        found[entry.name] = entry
    return found


def folder(module: str) -> Path | None:
    """The folder of a package, found without importing it."""
    root, *rest = module.split(".")
    spec = importlib.util.find_spec(root)
    places = [Path(place, *rest) for place in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if place.is_dir()), None)


def _built_in(group: str) -> Iterator[Entry]:
    folder = _FOLDERS[group]
    pattern = rf"^class ({group.title()})\b" if folder == "networks" else r"^@register\b[\s\S]*?^class (\w+)"
    for file in sorted((PACKAGE / folder).glob("[a-z]*.py")):
        if match := re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE):
            yield Entry(file.stem, group, f"vaezoo.{folder}.{file.stem}:{match[1]}")


def _third_party(group: str) -> Iterator[Entry]:
    for point in importlib.metadata.entry_points(group=f"vaezoo.{group}s"):
        owner = point.dist.name if point.dist else "an unnamed package"
        yield Entry(point.name, group, point.value, owner, _defect(point.value))


def _defect(target: str) -> str | None:
    """Why a target cannot be imported, as far as its source tells."""
    module, _, attribute = target.partition(":")
    try:
        path = source_file(module)
        if path is None:
            return f"there is no module {module}"
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        return f"SyntaxError: {error.msg} ({module}, line {error.lineno})"
    for node in body:
        if isinstance(node, ast.Raise):
            return ast.unparse(node)
        wanted = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            wanted = [node.module]
        for name in wanted:
            if importlib.util.find_spec(name.partition(".")[0]) is None:
                return f"ModuleNotFoundError: No module named {name!r}"
    return None if attribute in _defined(body) else f"{module} has no {attribute or 'class (write module:Class)'}"


def _defined(body: list[ast.stmt]) -> set[str]:
    found = {node.name for node in body if isinstance(node, ast.ClassDef)}
    for node in body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {ast.unparse(target) for target in node.targets}
    return found


def _class(module: str, attribute: str) -> tuple[str, ast.ClassDef] | None:
    """The class with its module: where it is written, be it imported from there."""
    path = source_file(module)
    if path is None:
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return module, node
        if isinstance(node, ast.ImportFrom) and attribute in {alias.asname or alias.name for alias in node.names}:
            original = next(alias.name for alias in node.names if attribute in (alias.asname, alias.name))
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            source = ".".join(filter(None, [package if node.level else "", node.module]))
            return _class(source, original)
    return None


def source_file(module: str) -> Path | None:
    """The file of a module, found without importing its packages."""
    root, *rest = module.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None:
        return None
    if not rest and spec.origin and spec.origin.endswith(".py"):
        return Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None
