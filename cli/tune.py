"""``hypergrad tune``: from a table of data to a tuned model."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from . import options
from .tuning import DEFAULT_TRIALS, Request, tune_summary

if TYPE_CHECKING:
    from hypergrad.report.summary import TuneSummary


class Documented(click.Command):
    """A command whose help ends with the registries and the keys of its JSON."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The tasks and samplers there are, and every key of ``--json``."""
        from hypergrad.report.summary import TuneSummary

        for title, registry in (("Tasks", options.tasks()), ("Samplers", options.samplers())):
            with formatter.section(title):
                formatter.write_dl([(name, first_line(thing)) for name, thing in registry.items()])
        with formatter.section("Keys of --json (numbers that are not finite are null)"):
            formatter.write_dl(list(TuneSummary.documented_keys().items()))


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().partition("\n")[0].replace("`", "")


@click.command(cls=Documented, short_help="Tune the hyperparameters of a model.")
@options.task_argument
@options.data_option
@options.target_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help=f"Trials that the study holds in the end.  [default: {DEFAULT_TRIALS}; no limit with --seconds]",
)
@click.option(
    "--seconds",
    type=float,
    callback=options.positive,
    help="Start no new trial after this wall time; how far it gets depends on the machine.",
)
@click.option(
    "--target-value",
    type=float,
    callback=options.finite,
    metavar="V",
    help="Stop once a trial's validation loss is V or less.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stop after N trials in a row that did not improve on the best.",
)
@click.option(
    "--min-improvement",
    type=float,
    callback=options.positive,
    metavar="X",
    help="With --patience: only a loss that is lower by more than X counts.  [default: any lower one]",
)
@click.option(
    "--tolerance",
    type=float,
    callback=options.positive,
    metavar="X",
    help="Stop once a model of the trials expects improvements of less than X times the spread of the losses.",
)
@options.seed_option
@options.store_option
@click.option(
    "--sampler",
    type=options.Registered("sampler", options.samplers),
    default="hybrid",
    show_default=True,
    help="How the next trial is chosen.",
)
@click.option(
    "--earlier",
    multiple=True,
    metavar="STUDY",
    help="A study in the same store (its name or key) whose trials tell this one where to look. May be repeated.",
)
@options.json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
def tune(as_json: bool, quiet: bool, **arguments: Any) -> None:
    """Tune the hyperparameters of TASK by their effect on the validation loss.

    Each trial trains the model once and yields the validation loss and its derivative with respect to every
    hyperparameter. Trials are kept in the store as they end: the same command again continues where it
    stopped, and only prints the result when nothing is left to do, or when it was told to stop there. A note says
    why a run ended before its --trials.
    """
    request = Request(**arguments)
    if request.min_improvement is not None and request.patience is None:
        raise click.UsageError("--min-improvement goes with --patience N")
    with options.one_thread():
        result = tune_summary(request, silent=quiet or as_json)
    if as_json:
        click.echo(result.to_json())
        return
    from hypergrad.report import tables

    options.print_table(tables.summary(result))
    click.echo(f"\nkept in {result.store} as study {result.study}; next:")
    for command in next_commands(request, result):
        click.echo(f"  {command}")


def next_commands(request: Request, result: TuneSummary) -> list[str]:
    """What to type next: look at the trials, and go on with more of them."""
    store = [] if result.store == options.DEFAULT_STORE else ["--store", result.store]
    again = ["hypergrad", "tune", request.task, "--data", request.data]
    again += ["--target", request.target] if request.target is not None else []
    again += ["--seed", str(request.seed)] if request.seed else []
    again += ["--sampler", request.sampler] if request.sampler != "hybrid" else []
    again += [word for which in request.earlier for word in ("--earlier", which)]
    again += ["--trials", str(2 * result.trials), *store]
    return [shlex.join(["hypergrad", "show", result.study, *store]), shlex.join(again)]
