"""``hypergrad grad``: one hypergradient beside central finite differences."""

from __future__ import annotations

from dataclasses import asdict
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
@options.json_option
def grad(
    task: str,
    data: str,
    target: str | None,
    seed: int,
    wrt: tuple[str, ...],
    coordinates: int,
    as_json: bool,
) -> None:
    """Print the hypergradient of TASK at its default hyperparameters beside central finite differences.

    The difference is relative to the norm of the hyperparameter's hypergradient. Each line trains the model
    at least four times.
    """
    import hypergrad as hg
    from hypergrad.report.differences import compare
    from hypergrad.tasks import TASKS

    chosen = TASKS[task]()
    dataset = options.load_data(data, target, seed)
    hparams = chosen.space(dataset).defaults()
    problem = chosen.problem(dataset, hparams)
    result = hg.hypergradient(problem, hparams, seed=seed)

    def value(moved: Any) -> float:
        return float(hg.train(problem, moved, seed=seed).value)

    leaves = compare(value, hparams, result.hypergradient, wrt, coordinates, seed)
    if as_json:
        options.print_json(
            {
                "task": task,
                "data": data,
                "target": dataset.target,
                "seed": seed,
                "value": float(result.value),
                "leaves": [asdict(leaf) for leaf in leaves],
            }
        )
        return
    from hypergrad.report import tables

    options.print_table(tables.differences(leaves))
    worst = max(row.relative for leaf in leaves for row in leaf.directions)
    click.echo(f"\nvalidation loss at the defaults: {result.value:.6g}")
    click.echo(f"largest relative difference: {worst:.1e}")
