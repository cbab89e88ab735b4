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

    def value(moved: Any) -> float:
        return float(hg.train(problem, moved, seed=seed).value)

    with options.one_thread():
        result = hg.hypergradient(problem, hparams, seed=seed)
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
