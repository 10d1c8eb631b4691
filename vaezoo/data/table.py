"""Tables of your own: .csv, .tsv or .parquet."""

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaezoo.data.labels import encode
from vaezoo.data.layout import examples
from vaezoo.data.raw import Raw, shuffled
from vaezoo.data.say import listed, say
from vaezoo.data.stored import needed
from vaezoo.errors import UsageError, near

SUFFIXES = (".csv", ".tsv", ".parquet")


def load(
    root: Path,
    path: str,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    test_size: int | None = None,
    hidden_label: int | str | None = None,
) -> Raw:
    """The rows of a table as vectors ``[N, D]`` of its numeric columns.

    Columns of only 0 and 1 (or true and false) throughout are binary data, columns in [0, 1] throughout are ``unit``,
    others real. Text columns other than the label are refused, and so are missing values: nothing is filled in.

    Args:
        root: folder that a relative ``path`` starts from.
        path: a .csv file (separated by commas, semicolons or tabs), a .tsv or a .parquet file. A first line of numbers
            only is data; the columns are then called c0, c1, ...
        label: name of the column of labels: integers, text and booleans become classes, floats stay numbers.
        columns: names of the columns to use; None takes all but the label.
        test_size: rows held out for test, chosen by seed 0; None is a tenth.
        hidden_label: the label that stands for "unknown"; None: every label is a class.

    Raises:
        UsageError: the file is missing or unreadable, a column does not exist or is not numeric, or a value is missing.
    """
    file = root / Path(path).expanduser()
    frame = _read(file)
    names = [str(name) for name in frame.columns]
    for option, chosen in (("label", [label] if label is not None else []), ("columns", columns or [])):
        for name in chosen:
            if str(name) not in names:
                raise UsageError(f"dataset.{option}={name}: {path} has the columns {listed(names)}{near(name, names)}")
    if columns is None and (unnamed := [name for name in names if name.startswith("Unnamed: ")]):
        number = names.index(unnamed[0]) + 1
        raise UsageError(f"{path}: column {number} has no name: name it, or choose columns with dataset.columns")
    used = [str(name) for name in columns] if columns else [name for name in names if name != label]
    if label in used or not used:
        raise UsageError(f"dataset.columns={listed(used)}: must name columns other than the label {label}")
    for name in [*used, *([label] if label else [])]:
        _check_missing(file, frame[name])
    x = np.stack([_numbers(file, frame[name]) for name in used], 1)
    (part,), support = examples({f"of {path}": x})
    y = None if label is None else np.asarray(frame[label])
    (encoded,), classes = encode({str(label): y}, hidden_label)
    about = f", label {label}" if label else ""
    say(f"{path}: {len(x)} rows, {len(used)} columns ({listed(used)}){about}")
    return shuffled(part, encoded, test_size, path, support, label_names=classes)


def _read(file: Path) -> Any:
    if not file.is_file():
        raise UsageError(f"dataset.path={file}: no such file")
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"dataset.path={file}: must end in {', '.join(SUFFIXES)} (arrays: dataset=arrays)")
    pandas = needed("pandas", "tables", file)
    try:
        if file.suffix.lower() == ".parquet":
            needed("pyarrow", "tables", file)
            frame = pandas.read_parquet(file)
        else:
            frame = _read_text(pandas, file)
    except UsageError:
        raise
    except Exception as error:  # readers raise many types on broken files
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"{file} cannot be read as a table ({reason})") from error
    frame.columns = [str(name) for name in frame.columns]
    if not len(frame):
        raise UsageError(f"{file} has no rows")
    return frame


def _read_text(pandas: Any, file: Path) -> Any:
    with file.open(encoding="utf-8-sig") as lines:
        first = lines.readline().rstrip("\n")
    separator = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    names = next(csv.reader([first], delimiter=separator), [])
    headless = all(map(_is_number, names))
    if not headless and (twice := [name for name in names if name and names.count(name) > 1]):
        raise UsageError(f"{file} has several columns {twice[0]}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # rows with too many values
        frame = pandas.read_csv(
            file, sep=separator, header=None if headless else 0, encoding="utf-8-sig", index_col=False, low_memory=False
        )
    if headless:
        frame.columns = [f"c{number}" for number in range(frame.shape[1])]
    return frame


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_missing(file: Path, column: Any) -> None:
    missing = np.asarray(column.isna())
    if missing.any():
        row = int(missing.argmax())
        others = int(missing.sum()) - 1
        more = f" (and {others} more)" if others else ""
        raise UsageError(f"{file}: row {row + 1} of column {column.name} has no value{more}; fill it in or remove it")


def _numbers(file: Path, column: Any) -> np.ndarray:
    """A column as float64."""
    kind = column.dtype.kind
    if kind in "biuf":
        return np.asarray(column, dtype=np.float64)
    wrong = next((position for position, value in enumerate(column) if not _is_number(str(value))), None)
    if wrong is None:
        return np.array([float(str(value)) for value in column])
    value = column.iloc[wrong]
    raise UsageError(
        f"{file}: row {wrong + 1} of column {column.name} is {str(value)!r}, which is not a number;"
        " choose other columns with dataset.columns, or make it the dataset.label"
    )
