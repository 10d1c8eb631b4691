"""Does a likelihood fit the data?"""

from vaezoo.errors import UsageError

YIELDS = {
    "binary": "binary values",
    "levels": "256 grey levels",
    "unit": "dequantised values in [0, 1]",
    "real": "real values",
}
DEFAULT = {"binary": "bernoulli", "levels": "discretised_logistic", "unit": "gaussian", "real": "gaussian"}


def check(likelihood: type, support: str, dataset: str = "", allow_relaxed: bool = False) -> None:
    """Refuse a likelihood that is not one of the data.

    Args:
        likelihood: the class; ``fits`` lists the supports that it accepts, its file's name is what the user wrote.
        support: where the data live, `Shapes.support`.
        dataset: name of the dataset, for the message.
        allow_relaxed: let ``bernoulli`` score grey values by their binary cross-entropy.

    Raises:
        UsageError: the likelihood does not fit.
    """
    fits: tuple[str, ...] = likelihood.fits  # type: ignore[attr-defined]
    grey = support in ("levels", "unit")
    relaxable = fits == ("binary",) and grey
    if support in fits or (relaxable and allow_relaxed):
        return
    name = likelihood.__module__.rpartition(".")[2]
    needed = " or ".join(YIELDS[s] for s in fits)
    source = f"dataset {dataset!r} yields" if dataset else "the data are"
    advice = f"use likelihood={DEFAULT[support]}"
    if relaxable:
        advice += " (or dataset.binarise=dynamic; or likelihood.allow_relaxed=true, whose result is not a likelihood)"
    raise UsageError(f"likelihood={name} needs {needed} and {source} {YIELDS[support]}; {advice}")
