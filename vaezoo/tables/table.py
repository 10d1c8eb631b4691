"""What `vaezoo table` prints."""

from collections.abc import Sequence

from vaezoo.comparison import Comparison
from vaezoo.errors import UsageError, near
from vaezoo.tables import md, spreadsheet, tex, txt
from vaezoo.tables.sheet import sheet

USUAL = ("nll", "elbo", "distortion", "rate", "active_units", "squared_error", "fid_clf:prior", "parameters")
DRAWN = {"txt": txt.draw, "md": md.draw, "tex": tex.draw}
FORMATS = (*DRAWN, "csv")


def table(comparison: Comparison, format: str = "txt", metrics: Sequence[str] = (), sort: str | None = None) -> str:
    """One table per dataset and likelihood.

    Args:
        comparison: from :func:`vaezoo.comparison.compare`.
        format: one of ``FORMATS``.
        metrics: keys of ``comparison.metrics``; by default the usual ones, all for csv.
        sort: the metric by which rows are sorted, the best on top; by default the first column with a good end.

    Raises:
        UsageError: as :func:`check`, or no run has one of the metrics.
    """
    check(format)
    known = comparison.metrics
    for name in (*metrics, *filter(None, [sort])):
        if name not in known:
            there = f"metrics: {', '.join(known)}" if known else "none is finished"
            raise UsageError(f"no run has the metric {name}{near(name, known)} ({there})")
    if format == "csv":
        return spreadsheet.draw(comparison, list(metrics or known), sort)
    names = list(metrics) or [name for name in USUAL if name in known]
    return DRAWN[format]([sheet(comparison, group, names, sort) for group in comparison.groups()])


def check(format: str) -> None:
    """Whether there is such a format, before anything is read.

    Raises:
        UsageError: it is unknown.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format} is unknown{near(format, FORMATS)} (formats: {', '.join(FORMATS)})")
