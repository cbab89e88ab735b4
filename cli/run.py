"""``hypergrad run`` and ``hypergrad new-experiment``: experiment folders."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from hypergrad.errors import ExperimentError, HypergradError

from . import interruption, options

OUTSIDE = 3  # exit code: a quantity that gates is outside what is accepted


class NotReproduced(click.ClickException):
    """Quantities outside what is accepted; exit code 3."""

    exit_code = OUTSIDE


@click.command(short_help="Run an experiment folder and compare with what is expected.")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--all", "every", is_flag=True, help="Run all experiments in FOLDER, and write its table.")
@click.option("--smoke/--full", default=False, help="A quick trial, or everything.  [default: full]")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes, one thread each.  [default: the cores]",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="With --all, only experiments of this name (or glob); else only this stage and what it needs. Repeatable.",
)
@click.option("--needed", is_flag=True, help="Skip experiments whose results are of this code and hypergrad.")
@click.option("--check", "checking", is_flag=True, help="Run nothing; judge the results that are there.")
@click.option("--dry-run", is_flag=True, help="Run nothing; print the stages and which are computed already.")
@click.option("--list", "listing", is_flag=True, help="Run nothing; print the experiments and their claims.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write results there, not beside the code."
)
def run(
    folder: Path,
    every: bool,
    smoke: bool,
    workers: int | None,
    only: tuple[str, ...],
    needed: bool,
    checking: bool,
    dry_run: bool,
    listing: bool,
    out: Path | None,
) -> None:
    """Run the experiment in FOLDER: compute its stages, compare its quantities with expected.json, draw it.

    Stages whose code and inputs have not changed are not computed again, and an interrupted run goes on. Results of
    --smoke go to the folder smoke/ beside those of the full scale. Exit code 3: a gated quantity is outside its bounds.
    """
    from hypergrad.experiments import harness

    if sum([checking, dry_run, listing]) > 1:
        raise click.UsageError("--check, --dry-run and --list exclude each other")
    if checking and (smoke or out):
        raise click.UsageError("--check judges the full results beside the code; leave out --smoke and --out")
    if needed and (checking or dry_run or listing or (only and not every)):
        raise click.UsageError("--needed is for whole runs; leave it out")
    if only and not every and (checking or listing):
        raise click.UsageError("--only names experiments here; add --all")
    folders = harness.chosen(folder, every or listing, only if every else ())
    if every and folders == [folder.resolve()]:
        raise click.UsageError(f"{folder} is an experiment, not a folder of them; leave out --all")
    scale = "smoke" if smoke else "full"
    out = None if out is None else out.resolve()
    if listing:
        print_list(folders)
    elif checking:
        check(folder if every and not only else None, folders)
    elif dry_run:
        print_plan(folders, scale, out, () if every else only)
    elif only and not every:
        run_stages(folders[0], scale, out, only, workers)
    else:
        table = folder if every and not smoke and out is None else None
        run_all(folders, table, scale, workers, needed, out)


def run_stages(
    folder: Path, scale: str, out: Path | None, names: tuple[str, ...], workers: int | None
) -> None:
    """Compute some stages of an experiment."""
    from hypergrad.experiments import Experiment, harness

    experiment = Experiment(folder, scale, out)
    failed = harness.run_stages(experiment, names, workers or harness.cores(), report)
    if failed:
        raise HypergradError(failed[experiment.name])


def run_all(
    folders: list[Path], table: Path | None, scale: str, workers: int | None, needed: bool, out: Path | None
) -> None:
    """Run experiments, write the table of all in the folder `table`, and judge."""
    from hypergrad import experiments

    outcome = experiments.run(
        folders, scale, workers=workers, needed=needed, out=out, event=report, concluded=print_verdicts
    )
    finish(outcome)
    if table is not None:
        try:
            write_table(table)
        except ExperimentError as error:  # one cannot be read: what the others found is told too
            outcome.failed["the table of all experiments is not written"] = str(error)
    judge(outcome)


def report(kind: str, experiment: Any, task: Any, detail: Any) -> None:
    """A line on stderr for a task that began or ended."""
    interruption.check()
    if kind == "failed":
        click.echo(f"{experiment.name}: failed", err=True)
    elif kind == "again":
        click.echo(f"{experiment.name}: {task}: {detail}", err=True)
    elif kind == "ended":
        click.echo(f"{experiment.name}: {task}, {detail:.1f} s", err=True)
    elif sys.stderr.isatty():
        click.echo(f"{experiment.name}: {task} ...", err=True)


def print_verdicts(experiment: Any, verdicts: list[Any]) -> None:
    """The table of an experiment's quantities, and where it lies."""
    from hypergrad.experiments.outputs import verdict_rows
    from hypergrad.report.tables import plain_table

    interruption.check()
    names = ("quantity", "theirs", "ours", "accepted", "status")
    table = plain_table(*names)
    for row in verdict_rows(verdicts):
        table.add_row(*(row[name] for name in names))
    click.echo(f"{experiment.name}: {experiment.config.claim} [{experiment.config.paper}]")
    options.print_table(table)
    click.echo(f"{experiment.output / 'results.json'}\n")


def finish(outcome: Any) -> None:
    """What was skipped, and the count of what was run."""
    for name in outcome.skipped:
        click.echo(f"{name}: its results are of this code; skipped")
    if len(outcome.verdicts) + len(outcome.failed) > 1:
        click.echo(
            f"{len(outcome.verdicts)} of {len(outcome.verdicts) + len(outcome.failed)} experiments ran to the end"
        )


def judge(outcome: Any) -> None:
    """End with exit code 1 where something failed, 3 where a gate is not met."""
    from hypergrad.experiments.judge import OUTSIDE as outside

    wrong = {
        name: [verdict for verdict in verdicts if verdict.status == outside]
        for name, verdicts in outcome.verdicts.items()
    }
    for name, verdicts in wrong.items():
        for verdict in verdicts:
            click.echo(f"{name}: {verdict.complaint}", err=True)
    if outcome.failed:
        first, *others = [f"{name}: {sentence}" for name, sentence in outcome.failed.items()]
        for line in others:
            click.echo(f"error: {line}", err=True)
        raise HypergradError(first)
    names = [name for name, verdicts in wrong.items() if verdicts]
    if names:
        count = sum(map(len, wrong.values()))
        what = (
            "1 gated quantity is outside its" if count == 1 else f"{count} gated quantities are outside their"
        )
        raise NotReproduced(f"{what} bounds, in {', '.join(names)}")


def check(table: Path | None, folders: list[Path]) -> None:
    """Judge what is there; stale results and a stale table are failures."""
    from hypergrad.experiments import harness
    from hypergrad.experiments.overview import stale

    outcome, old = harness.check(folders)
    for name, verdicts in outcome.verdicts.items():
        click.echo(f"{name}: {verdicts and harness.overall(verdicts)}")
    judge(outcome)
    if old:
        raise HypergradError(
            f"{', '.join(old)}: there are no results, or they are of other code, settings or data; run again"
        )
    if table is not None and stale(table.resolve()):
        raise HypergradError(
            f"the table in {table / 'README.md'} is not of these results; "
            f"'hypergrad run {table} --all --needed' writes it"
        )


def write_table(folder: Path) -> None:
    """The table of all experiments in a folder."""
    from hypergrad.experiments.overview import write_overview

    click.echo(f"table of all experiments: {write_overview(folder.resolve())}")


def print_list(folders: list[Path]) -> None:
    """Names, papers and claims."""
    from hypergrad.experiments.config import read_config
    from hypergrad.report.tables import plain_table

    table = plain_table("experiment", "paper", "claim")
    for column in table.columns:
        column.justify = "left"
    for folder in folders:
        config = read_config(folder / "config.toml")
        table.add_row(folder.name, config.paper, config.claim)
    options.print_table(table)


def print_plan(folders: list[Path], scale: str, out: Path | None, only: tuple[str, ...]) -> None:
    """The tasks, or those for the stages `only`, and which results are there."""
    from hypergrad.errors import unknown_name
    from hypergrad.experiments import Experiment
    from hypergrad.report.tables import plain_table

    table = plain_table("experiment", "stage", "result")
    for column in table.columns:
        column.justify = "left"
    for folder in folders:
        experiment = Experiment(folder, scale, out)
        stages = [name for name, f in experiment.functions.items() if f.role == "stage"]
        for name in only:
            if name not in stages:
                raise unknown_name("stage", name, stages)
        for id, task in (experiment.needed(list(only)) if only else experiment.tasks).items():
            table.add_row(experiment.name, str(task), "there" if experiment.cache.has(*id) else "to compute")
    options.print_table(table)


@click.command("new-experiment", short_help="Write a folder with an experiment to change.")
@click.argument("folder", type=click.Path(path_type=Path))
def new_experiment(folder: Path) -> None:
    """Write FOLDER with a small experiment that runs as it is: README.md, config.toml, run.py, expected.json."""
    from hypergrad.experiments.template import new_experiment as make

    made = make(folder)
    click.echo(f"{made}: change run.py, then: hypergrad run {shlex.quote(str(folder))}")
