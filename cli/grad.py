"""``hypergrad grad``: one hypergradient beside central finite differences."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from . import options


@click.command(short_help="Print one hypergradient beside finite differences.")
@options.task_argument
@options.data_option
@options.target_option
@options.seed_option
@click.option(
    "--wrt",
    multiple=True,
    metavar="NAME",
    help="Only this hyperparameter; may be repeated.  [default: all of them]",
)
@click.option(
    "--coordinates",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Coordinates of a vector to compare, those of the largest derivative; a random direction is added.",
)
@click.option(
    "--trial",
    type=click.IntRange(min=0),
    metavar="N",
    help="At the hyperparameters of this trial of a study.  [default: at the defaults]",
)
@click.option("--study", metavar="NAME", help="The study of --trial.  [default: the newest in the store]")
@click.option(
    "--method",
    type=options.Registered("method", options.methods),
    default="auto",
    show_default=True,
    help="How the hypergradient is computed; --explain lists the methods.",
)
@click.option(
    "--memory",
    metavar="BYTES",
    help="What --method may keep, such as 64MiB, for auto, reverse, forward and truncated.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Train nothing: print what each method would cost, which one auto chooses, and why.",
)
@options.store_option
@options.json_option
def grad(
    task: str,
    data: str,
    target: str | None,
    seed: int,
    wrt: tuple[str, ...],
    coordinates: int,
    trial: int | None,
    study: str | None,
    method: str,
    memory: str | None,
    explain: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Print one hypergradient of TASK beside central finite differences.

    The difference is relative to the norm of the hyperparameter's hypergradient. Each line trains the model
    at least four times.
    """
    import hypergrad as hg
    from hypergrad.hypergradients.differences import compare
    from hypergrad.tasks import TASKS

    chosen = TASKS[task]()
    dataset = options.load_data(data, target, seed)
    space = chosen.space(dataset)
    hparams = space.defaults() if trial is None else stored_hparams(space, store, study, trial)
    problem = chosen.problem(dataset, hparams)

    if explain:
        with options.one_thread():
            print_offers(problem, hparams, seed, wrt, memory, as_json)
        return
    way = made(method, memory)

    def value(moved: Any) -> float:
        return float(hg.train(problem, moved, seed=seed).value)

    with options.one_thread():
        result = hg.hypergradient(problem, hparams, method=way, seed=seed, wrt=wrt or None)
        leaves = compare(value, hparams, result.hypergradient, wrt, coordinates, seed)
    if as_json:
        options.print_json(
            {
                "task": task,
                "data": data,
                "target": dataset.target,
                "seed": seed,
                "trial": trial,
                "value": float(result.value),
                "method": result.stats["method"],
                "why": result.stats.get("why", ""),
                "warnings": list(result.warnings),
                "leaves": [asdict(leaf) for leaf in leaves],
            }
        )
        return
    from hypergrad.report import tables

    options.print_table(tables.differences(leaves))
    worst = max(row.relative for leaf in leaves for row in leaf.directions)
    place = "at the defaults" if trial is None else f"in trial {trial}"
    click.echo(f"\nvalidation loss {place}: {result.value:.6g}")
    click.echo(f"largest relative difference: {worst:.1e}")
    for warning in result.warnings:
        click.echo(f"warning: {warning}")


def made(name: str, memory: str | None) -> Any:
    """The method of a name, with a byte budget where it takes one.

    Raises:
        UsageError: a budget for a method that has none.
    """
    from hypergrad.hypergradients import METHODS

    if memory is None:
        return METHODS[name]()
    if not budgeted(name):
        raise click.UsageError(f"--memory is of no use to --method {name}")
    return METHODS[name](memory=int(memory) if memory.isdigit() else memory)


def budgeted(name: str) -> bool:
    """Whether the method of a name takes a byte budget."""
    from hypergrad.hypergradients import METHODS

    return "memory" in getattr(METHODS[name], "__dataclass_fields__", {})


def print_offers(
    problem: Any, hparams: Any, seed: int, wrt: tuple[str, ...], memory: str | None, as_json: bool
) -> None:
    """What each method would cost, as a table or as JSON, and what auto chooses."""
    from functools import partial

    from hypergrad.hypergradients import METHODS
    from hypergrad.hypergradients.offers import offers

    methods = {name: partial(made, name, memory if budgeted(name) else None) for name in METHODS}
    found = offers(methods, problem, hparams, seed, wrt or None)
    if as_json:
        options.print_json(
            [
                {"method": offer.name, "plan": offer.plan and asdict(offer.plan), "refusal": offer.refusal}
                for offer in found
            ]
        )
        return
    from hypergrad.report import tables

    options.print_table(tables.offers(found))
    for offer in found:
        if offer.refusal:
            click.echo(f"{offer.name}: {offer.refusal}")
    auto = next(offer for offer in found if offer.name == "auto")
    if auto.plan is not None:
        click.echo(f"\n{auto.plan.method}, because {auto.plan.why}.")


def stored_hparams(space: Any, store: Path, study: str | None, number: int) -> Any:
    """The hyperparameters of a stored trial.

    Raises:
        StudyError: there is no such trial, or it is no point of `space`.
    """
    from hypergrad.errors import StudyError

    loaded = options.stored_study(store, study)
    trials = loaded.trials
    if number >= len(trials):
        raise StudyError(
            f"study {loaded.name!r} has no trial {number}; it holds {len(trials)}, numbered from 0"
        )
    if trials[number].hparams not in space:
        raise StudyError(
            f"trial {number} of study {loaded.name!r} belongs to another task or other data; name the --study"
        )
    return trials[number].hparams
