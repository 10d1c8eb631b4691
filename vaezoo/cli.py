"""The command `vaezoo`. Whatever only lists or describes answers without importing torch."""

import argparse
import sys
import textwrap
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import vaezoo
from vaezoo import choices, completion, describe, runs, samplers, settings
from vaezoo.command_line import Parser, answer, at_least, path, take_config_dir
from vaezoo.comparison import Comparison, compare
from vaezoo.errors import UsageError, near
from vaezoo.figures import figure as figures
from vaezoo.tables import table as tables

EXAMPLES = """\
examples:
  vaezoo train                                         a VAE on small digits that need no download
  vaezoo train variant=beta_vae variant.beta=8 dataset=mnist
  vaezoo train -m variant=vae,beta_vae seed=0,1,2      six runs, one after the other
  vaezoo sweep zoo hardware=cpu_pool                   every variant at a small budget, several at a time
  vaezoo list --family gaussian
  vaezoo show beta_vae
  vaezoo evaluate runs/vae-mnist/* --k 500
  vaezoo table runs --format md                        means over seeds, the best marked
  eval "$(vaezoo completion bash)"                     completion of options in this shell
"""
TRAIN = """\
usage: vaezoo train [GROUP=OPTION ...] [KEY=VALUE ...]

Trains one model and leaves its run folder under runs/. Choose an option per group, then change single values.

{groups}

keys outside groups: {keys}
all values of a choice: vaezoo train variant=beta_vae --cfg job

examples:
  vaezoo train variant=beta_vae variant.beta=8 likelihood=bernoulli dataset=mnist
  vaezoo train variant=beta_vae 'variant.beta={{linear:{{start:0,end:4,until:0.2}}}}'
  vaezoo train encoder=conv decoder=conv latent=32 optimizer.lr=3e-4 trainer.max_epochs=50 hardware=gpu
  vaezoo train -m variant=vae,beta_vae seed=0,1,2

flags: -m, --multirun  one run per combination of comma-separated values
       --config-dir D  take options of your own from D/experiment, D/dataset, D/sweep, ...; those in ./conf are found
       --cfg job       print the configuration and stop
       --info          print where the configuration comes from and stop
"""
TRUST = "let the folder name code that is not installed, which then runs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows ``vaezoo`` on the command line; by default what the process was given.

    Returns:
        int: 0, or 2 after a user's error told in one line.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return answer(lambda: _command(words))


def _command(words: list[str]) -> int:
    if words[:1] == ["train"]:
        return _train(words[1:])
    if words[:1] == ["sweep"]:
        from vaezoo.sweep import command as sweep

        return sweep.main(take_config_dir(words[1:]), _train)
    known = (*completion.COMMANDS, "complete")
    if words and not words[0].startswith("-") and words[0] not in known:
        listed = ", ".join(completion.COMMANDS)
        raise UsageError(f"vaezoo {words[0]} is not a command{near(words[0], known)} (commands: {listed})")
    given = _parser().parse_args(words)
    return given.run(given)


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("vaezoo", description=vaezoo.__doc__, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=vaezoo.__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser("list", help="the variants, or the options of another group")
    command.add_argument("--family", help="only the variants of this family, e.g. gaussian")
    command.add_argument("--group", default="variant", help="variant (default), encoder, dataset, hardware, ...")
    command.set_defaults(run=_list)

    command = commands.add_parser("show", help="equation, arguments and limits of a variant or part; keys of an option")
    command.add_argument("name", help="a name, GROUP=NAME where several groups have it, or a GROUP")
    command.set_defaults(run=_show)

    command = commands.add_parser("train", help="train a model (vaezoo train --help lists the groups)", add_help=False)

    command = commands.add_parser("sweep", help="train every run of a preset; see how a sweep stands", add_help=False)

    command = commands.add_parser("evaluate", help="measure finished runs with the shared metrics")
    command.add_argument("runs", nargs="+", type=path, metavar="RUN")
    command.add_argument(
        "--k", type=at_least(0), default=500, help="importance samples of the likelihood (default: 500)"
    )
    command.add_argument(
        "--quality",
        metavar="SAMPLERS",
        help=f"judge samples by a classifier of the data, e.g. prior,mixture; there are {', '.join(samplers.names())}",
    )
    command.add_argument(
        "--samples", type=at_least(10), default=10_000, help="number of samples of each (default: 10000)"
    )
    command.add_argument("--inception", action="store_true", help="judge them by the Inception network too")
    command.add_argument("--split", default="test", choices=["train", "val", "test"], help="(default: test)")
    command.add_argument("--limit", type=at_least(1), help="use only the first this many examples")
    command.add_argument("--threads", type=at_least(1, settings.MOST), help="of the CPU (default: torch's)")
    command.add_argument("--data-dir", type=path, help="folder of all data (default: that of the training)")
    command.add_argument("--allow-other-data", action="store_true", help="measure on data that have changed")
    command.add_argument("--trust", action="store_true", help=TRUST)
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("sample", help="draw from a finished run into a picture")
    command.add_argument("run_dir", type=path, metavar="RUN")
    about = "where latents come from: the model's prior (default) or what is fitted to the codes of the training data"
    command.add_argument("--sampler", default="prior", help=f"{about}; one of {', '.join(samplers.names())}")
    command.add_argument("-n", "--n", type=at_least(1), default=64, help="number of samples (default: 64)")
    command.add_argument(
        "--seed", type=at_least(0, 2**32 - 1), default=0, help="seed of the fit and of the draws (default: 0)"
    )
    command.add_argument(
        "-o", "--out", "--output", type=path, help="a .png, .npy or .pt file (default: RUN/samples.png, or .npy)"
    )
    command.add_argument("--trust", action="store_true", help=TRUST)
    command.set_defaults(run=_sample)

    command = commands.add_parser("explore", help="try out a finished run on a local page")
    command.add_argument("run_dir", type=path, metavar="RUN")
    command.add_argument(
        "--port", type=at_least(0, 2**16 - 1), default=0, help="of the page (default: 0, any that is free)"
    )
    command.add_argument("--open", action="store_true", help="show the page in the browser")
    command.add_argument("--data-dir", type=path, help="folder of all data (default: that of the training)")
    command.add_argument("--trust", action="store_true", help=TRUST)
    command.set_defaults(run=_explore)

    command = commands.add_parser("dashboard", help="compare runs on one page that needs no server")
    command.add_argument("places", nargs="+", type=path, metavar="DIR", help="run folders, or folders that hold some")
    command.add_argument("-o", "--out", type=path, default=Path("dashboard.html"), help="(default: dashboard.html)")
    command.add_argument("--open", action="store_true", help="show the page in the browser")
    command.add_argument("--serve", action="store_true", help="keep a page up to date on this machine; write no file")
    command.add_argument(
        "--port", type=at_least(0, 2**16 - 1), default=0, help="of --serve (default: 0, any that is free)"
    )
    command.set_defaults(run=_dashboard)

    command = commands.add_parser("table", help="compare runs in a table: mean and s.d. over seeds, the best marked")
    command.add_argument("places", nargs="+", type=path, metavar="DIR", help="run folders, or folders that hold some")
    command.add_argument("--format", default="txt", help=f"{', '.join(tables.FORMATS)} (default: txt)")
    command.add_argument("--metrics", metavar="NAMES", help="columns, e.g. nll,rate,fid_clf:prior (default: the usual)")
    command.add_argument("--sort", metavar="NAME", help="metric to sort by (default: the first that has a good end)")
    command.set_defaults(run=_table)

    command = commands.add_parser("figure", help="compare runs in a figure")
    command.add_argument("places", nargs="+", type=path, metavar="DIR", help="run folders, or folders that hold some")
    command.add_argument("--kind", default="rd", help=f"{', '.join(figures.KINDS)} (default: rd, rate and distortion)")
    ends = ", ".join(figures.SUFFIXES)
    command.add_argument("-o", "--out", type=path, help=f"a file that ends in one of {ends} (default: KIND.png)")
    command.set_defaults(run=_figure)

    command = commands.add_parser("new", help="write a variant of your own, ready to run")
    command.add_argument("name", help="snake_case; the option it will be, as in variant=NAME")
    command.add_argument("--package", action="store_true", help="an installable package with a test and an experiment")
    command.set_defaults(run=_new)

    command = commands.add_parser("completion", help="print the completion script of a shell")
    command.add_argument("shell", choices=["bash"])
    command.set_defaults(run=_completion)

    command = commands.add_parser("complete")  # what the completion script calls; not listed
    command.add_argument("line")
    command.set_defaults(run=_complete)
    return parser


def _list(given: argparse.Namespace) -> int:
    print(describe.listing(given.group, given.family))
    return 0


def _show(given: argparse.Namespace) -> int:
    print(describe.page(given.name))
    return 0


# -- train -------------------------------------------------------------------------------------------------------------


def _train(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(_train_help())
        return 0
    from vaezoo import train_entry

    sys.argv = [train_entry.__file__, *arguments]
    sys.modules["__main__"].__spec__ = None  # so that Lightning's DDP runs that file again, and not `python -m vaezoo`
    return train_entry.main()


def _train_help() -> str:
    lines = []
    for group in choices.groups():
        names = ", ".join(choices.options(group))
        lines.append(textwrap.fill(names, 118, initial_indent=f"  {group:<11} ", subsequent_indent=" " * 14))
    keys = [*settings.Top.__dataclass_fields__, *(f"evaluate.{k}" for k in settings.Evaluate.__dataclass_fields__)]
    return TRAIN.format(groups="\n".join(lines), keys=", ".join(keys))


def _completion(given: argparse.Namespace) -> int:
    print(completion.BASH)
    return 0


def _complete(given: argparse.Namespace) -> int:
    print("\n".join(completion.candidates(given.line)))
    return 0


# -- finished runs -----------------------------------------------------------------------------------------------------


def _evaluate(given: argparse.Namespace) -> int:
    for run in given.runs:
        _check_run(run)
    from vaezoo.evaluate.evaluate import evaluate_run
    from vaezoo.evaluate.results import format_results

    where = {name: getattr(given, name) for name in ("split", "limit", "threads", "allow_other_data", "trust")}
    where["root"] = given.data_dir
    judged = {"samples": given.samples, "inception": given.inception}
    judged["quality"] = _checked_samplers(given) if given.quality else None
    for run in given.runs:
        print(run)
        print(format_results(evaluate_run(run, k=given.k, **where, **judged)))
    return 0


def _checked_samplers(given: argparse.Namespace) -> list[str]:
    named: list[str] = given.quality.split(",")
    settings.Evaluate(given.k, named, given.samples, given.inception)
    return named


def _sample(given: argparse.Namespace) -> int:
    _check_run(given.run_dir)
    from vaezoo.samplers.write import sample_run

    print(sample_run(given.run_dir, given.sampler, given.n, given.seed, given.out, given.trust))
    return 0


def _explore(given: argparse.Namespace) -> int:
    _check_run(given.run_dir)
    from vaezoo.explore.run import open_run
    from vaezoo.explore.server import serve

    serve(open_run(given.run_dir, given.data_dir, given.trust), given.port, given.open)
    return 0


def _dashboard(given: argparse.Namespace) -> int:
    from vaezoo import dashboard

    if given.serve:
        dashboard.serve(given.places, given.port, given.open)
        return 0
    print(dashboard.write(given.places, given.out))
    if given.open:
        webbrowser.open(given.out.resolve().as_uri())
    return 0


def _table(given: argparse.Namespace) -> int:
    tables.check(given.format)
    metrics = given.metrics.split(",") if given.metrics else []
    print(tables.table(_compared(given.places), given.format, metrics, given.sort))
    return 0


def _figure(given: argparse.Namespace) -> int:
    file = given.out or Path(f"{given.kind}.png")
    figures.check(given.kind, file)
    print(figures.figure(_compared(given.places), given.kind, file))
    return 0


def _compared(places: Sequence[Path]) -> Comparison:
    found = runs.find(*places)
    if not found:
        raise UsageError(f"there is no run in {', '.join(map(str, places))}")
    return compare([runs.read(path) for path in found])


def _check_run(run: Path) -> None:
    if not runs.contents(run / runs.CONFIG):
        raise UsageError(f"{run} is not a run folder: it has no {runs.CONFIG}")


def _new(given: argparse.Namespace) -> int:
    from vaezoo.new import write

    print(write(given.name, Path.cwd(), package=given.package))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
