"""Where pictures lie below a folder: splits and classes."""

import os
from collections.abc import Iterator
from pathlib import Path

from vaezoo.data.pictures import SUFFIXES
from vaezoo.data.say import listed
from vaezoo.errors import UsageError

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
Files = dict[Path, str | None]


def find(root: Path) -> tuple[dict[str, Files], list[str], str]:
    """The pictures of each split with their class, the classes, and a line that says what was found.

    A class is a visible folder that holds pictures, at any depth; links to folders are followed, and no folder is read
    twice. Where there are a training folder and one of validation or test, in any case and with the usual names, they
    are the splits; otherwise all is ``train``.

    Raises:
        UsageError: the folder is missing or holds no pictures, or a split is there twice.
    """
    if not root.is_dir():
        raise UsageError(f"dataset.root={root}: no such folder")
    every = _folders(root)
    holding = [folder for folder in every if next(_pictures(folder, _real(root, *every)), None)]
    places = _splits(root, holding)
    unused = [folder.name for folder in holding if folder not in places.values()] if places else []
    unused += [f"{len(beside)} pictures beside the splits"] if places and (beside := _own(root)) else []
    roots = _real(root, *places.values())
    splits = {name: _labelled(folder, roots) for name, folder in (places or {"train": root}).items()}
    if not any(splits.values()):
        raise UsageError(f"{root} holds no pictures ({', '.join(SUFFIXES)})")
    classes = sorted({name for files in splits.values() for name in files.values() if name is not None})
    return splits, classes, _found(root, splits, places, classes, unused)


def _splits(root: Path, holding: list[Path]) -> dict[str, Path]:
    """The folder of each split; empty where the folders are not splits."""
    found: dict[str, Path] = {}
    for split, names in SPLITS.items():
        here = [folder for folder in holding if folder.name.lower() in names]
        if len(here) > 1:
            raise UsageError(f"{root} has several folders of the {split} split: {listed([f.name for f in here])}")
        found |= {split: here[0]} if here else {}
    only = [folder.name.lower() for folder in holding] == ["train"]
    return found if "train" in found and (len(found) > 1 or only) else {}


def _labelled(folder: Path, roots: set[str]) -> Files:
    """Each picture below a folder, sorted by path, with the sub-folder of the first level that it lies in."""
    files: Files = dict.fromkeys(_own(folder))
    classes = _folders(folder)
    seen = roots | _real(*classes)
    for inner in classes:
        files |= dict.fromkeys(_pictures(inner, seen), inner.name)
    return dict(sorted(files.items()))


def _real(*folders: Path) -> set[str]:
    return {os.path.realpath(folder) for folder in folders}


def _folders(folder: Path) -> list[Path]:
    """The visible folders in a folder; of those that are the same by a link, one."""
    inner = [path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name)]
    inner.sort(key=lambda path: (path.is_symlink(), path.name))
    unique = {path.resolve(): path for path in reversed(inner)}
    return sorted(path for real, path in unique.items() if not folder.resolve().is_relative_to(real))


def _pictures(folder: Path, seen: set[str]) -> Iterator[Path]:
    """The visible pictures at any depth; links to folders that have been ``seen`` are not followed."""
    for place, inner, _ in os.walk(folder, followlinks=True):
        inner[:] = [name for name in sorted(inner) if not _is_hidden(name)]
        inner[:] = [name for name in inner if os.path.realpath(os.path.join(place, name)) not in seen]
        seen |= {os.path.realpath(os.path.join(place, name)) for name in inner}
        yield from _own(Path(place))


def _own(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not _is_hidden(path.name) and not path.is_dir()
    ]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _found(root: Path, splits: dict[str, Files], places: dict[str, Path], classes: list[str], unused: list[str]) -> str:
    counts = ", ".join(
        f"{len(files)} {name}" + (f" (folder {places[name].name})" if places and places[name].name != name else "")
        for name, files in splits.items()
    )
    bare = sum(label is None for files in splits.values() for label in files.values())
    parts = [f"{root}: {counts if places else len(splits['train'])} pictures"]
    parts.append(f"{len(classes)} classes ({listed(classes)})" if classes else "no classes")
    if classes and bare:
        parts.append(f"{bare} pictures outside of class folders have hidden labels")
    if unused:
        parts.append(f"not used: {listed(unused)}")
    return "; ".join(parts)
