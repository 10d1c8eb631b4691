"""A workspace and a report in wandb that compare the runs of a project, or of one group (a sweep).

    pip install wandb-workspaces && wandb login
    python scripts/wandb_report.py --entity TEAM [--project vaezoo] [--group SWEEP] [--axes variant/beta,latent]

Both show the same panels: the evaluation by variant with its spread over seeds, the rate-distortion plane, learning
curves, parallel coordinates over swept parameters, pictures by epoch, and what differs between runs. The last lines
are their addresses. It needs runs that were uploaded (``logger.offline=false``, or ``wandb sync``).
"""

import argparse
import importlib.util
import sys
from typing import Any

from vaezoo.callbacks.wandb_run import STEP, has_key

METRICS = ("nll", "bits_per_dim", "elbo", "rate", "distortion", "active_units", "squared_error")
PICTURES = ("reconstructions", "samples", "traversals")


def sections(axes: list[str]) -> dict[str, list[Any]]:
    """The panels by heading.

    Args:
        axes: configuration keys for parallel coordinates, as in wandb, e.g. ``variant/beta``.
    """
    import wandb_workspaces.reports.v2 as wr

    spread = {"groupby": wr.Config("variant"), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    bars = [wr.BarPlot(title=name, metrics=[f"test/{name}"], **spread) for name in METRICS]
    curves = [
        wr.LinePlot(title=name, x=STEP, y=[name], **spread) for name in ("val/elbo", "val/distortion", "val/rate")
    ]
    plane = wr.ScatterPlot(
        title="rate and distortion, nats", x=wr.SummaryMetric("test/rate"), y=wr.SummaryMetric("test/distortion")
    )
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(key)) for key in ["variant", *axes]]
    columns += [wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(f"test/{name}")) for name in ("rate", "nll")]
    media = [wr.MediaBrowser(title=name, media_keys=[f"pictures/{name}"], num_columns=2) for name in PICTURES]
    return {
        "Evaluation: mean and standard deviation over the runs of a variant": bars,
        "Rate and distortion; distortion + rate = -ELBO": [plane],
        "Learning curves": curves,
        "Parameters": [wr.ParallelCoordinatesPlot(columns=columns)],
        "Pictures": media,
        "What differs": [wr.RunComparer(diff_only="split")],
    }


def workspace(entity: str, project: str, group: str | None, axes: list[str]) -> Any:
    """A workspace with one section per heading; ``save`` uploads it."""
    import wandb_workspaces.workspaces as ws

    chosen = [ws.Metric("Group") == group] if group else []
    shown = [ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections(axes).items()]
    columns = ["config:variant.value", "summary:test/nll", "summary:test/rate", "summary:test/distortion"]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"vaezoo: {group or 'all runs'}",
        sections=shown,
        settings=ws.WorkspaceSettings(x_axis=STEP),
        runset_settings=ws.RunsetSettings(filters=chosen, pinned_columns=columns),
    )


def report(entity: str, project: str, group: str | None, axes: list[str]) -> Any:
    """A report with one grid of panels per heading; ``save`` uploads it."""
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    chosen = [expr.Metric("Group") == group] if group else []
    blocks: list[Any] = [wr.P("Nats per image unless named otherwise; compare within one likelihood and dataset.")]
    for name, panels in sections(axes).items():
        runs = wr.Runset(entity=entity, project=project, name=group or "all runs", filters=chosen)
        blocks += [wr.H2(name), wr.PanelGrid(runsets=[runs], panels=panels)]
    title = f"vaezoo: {group or 'all runs'}"
    return wr.Report(entity=entity, project=project, title=title, blocks=blocks, width="fluid")


def main() -> int:
    """Builds and saves both; 0, or 2 with one line that says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", required=True, help="user or team that owns the project")
    parser.add_argument("--project", default="vaezoo", help="as in logger.project (default: %(default)s)")
    parser.add_argument("--group", help="runs of one sweep only, as in logger.group")
    parser.add_argument("--axes", default="", help="configuration keys of the parallel coordinates, e.g. variant/beta")
    given = parser.parse_args()
    if not importlib.util.find_spec("wandb_workspaces"):
        return refuse("a package is missing: pip install wandb-workspaces")
    if not has_key():
        return refuse("wandb has no key: run wandb login, or set WANDB_API_KEY")
    where = (given.entity, given.project, given.group, [key for key in given.axes.split(",") if key])
    try:
        for made in (workspace(*where), report(*where)):
            print(made.save().url)
    except Exception as error:  # wandb-workspaces has no class of its own for what a server refuses
        return refuse(f"the server did not take it: {' '.join(str(error).split())}")
    return 0


def refuse(reason: str) -> int:
    """Prints why nothing was built."""
    print(f"error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
