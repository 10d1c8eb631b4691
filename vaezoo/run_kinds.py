"""What the files of a run folder hold: the type of each value that a reader relies on."""

from collections.abc import Callable, Mapping
from typing import Any

CONFIG, RECORD, RESULTS, JOB = "config.yaml", "run.json", "results.json", "job.json"
HISTORY = "history.json"
STATUSES = ("running", "finished", "interrupted", "failed", "pruned")  # of run.json
SHOWN = 40  # characters of a wrong value in a message


def a_number(value: Any) -> bool:
    """An integer or a float; so NaN and infinity, which JSON as Python writes it may hold."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def an_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def text(value: Any) -> bool:
    return isinstance(value, str)


def a_state(value: Any) -> bool:
    return value in STATUSES


def a_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(text, value))


def a_list_of_numbers(value: Any) -> bool:
    """Of a latent with several axes, lists of lists."""
    return isinstance(value, list) and all(a_number(inner) or a_list_of_numbers(inner) for inner in value)


Kind = Callable[[Any], bool] | dict[str, Any] | list[Any]  # a test; kinds by key; or that of each item of a list
ANY = "*"  # every other key
_NUMBERS: Kind = {ANY: a_number}
_EVALUATION: dict[str, Kind] = {
    "split": text,
    "images": an_integer,
    "k": an_integer,
    **dict.fromkeys(("elbo", "distortion", "rate", "nll", "nll_standard_error", "bits_per_dim"), a_number),
    **dict.fromkeys(("active_units", "mutual_information", "squared_error", "seconds", "images_per_second"), a_number),
    "kl_per_dimension": a_list_of_numbers,
    "measures": _NUMBERS,
    "quality": {ANY: {ANY: a_number}},
    "reasons": {ANY: text},
}
KINDS: dict[str, dict[str, Kind]] = {
    CONFIG: {
        "seed": an_integer,
        "choices": {ANY: text},
        "overrides": a_list_of_texts,
        "dataset": {"batch_size": an_integer},
        "posterior": {"codes": an_integer, "bits": an_integer, "levels": a_list_of_numbers},
        "trainer": {"max_epochs": an_integer},
        **{group: {} for group in ("hardware", "logger", "optimizer", "evaluate", "variant")},
    },
    RECORD: {
        "status": a_state,
        "reason": text,
        "shapes": {},
        "parameters": _NUMBERS,
        "hardware": {},
        "seconds": a_number,
        "images_per_second": a_number,
        "peak_memory_mb": _NUMBERS,
    },
    RESULTS: {**_EVALUATION, "others": [_EVALUATION], "flags": a_list_of_texts},
    HISTORY: {"evaluations": [_EVALUATION]},
    JOB: {"overrides": a_list_of_texts, "choices": {ANY: text}, "seed": an_integer},
}
REQUIRED = {
    CONFIG: ("choices", "overrides"),  # the last ones in the file: one that was cut lacks them
    RESULTS: ("split", "images", "k"),
    JOB: ("overrides", "choices", "seed"),
}


def fault(value: Any, kind: Kind, name: str = "it") -> str | None:
    """Why a value is not of a kind, with its dotted key; None if it is. A value inside may always be null."""
    if callable(kind):
        return None if kind(value) else f"{name} is {_shown(value)}, not {kind.__name__.replace('_', ' ')}"
    if isinstance(kind, list):
        if not isinstance(value, list):
            return f"{name} is {_shown(value)}, not a list"
        return next(filter(None, (fault(inner, kind[0], name) for inner in value)), None)
    if not isinstance(value, Mapping):
        return f"{name} is {_shown(value)}, not a mapping"
    prefix = "" if name == "it" else f"{name}."
    pairs = ((key, inner, kind.get(key, kind.get(ANY))) for key, inner in value.items() if inner is not None)
    found = (fault(inner, of, f"{prefix}{key}") for key, inner, of in pairs if of is not None)
    return next(filter(None, found), None)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
