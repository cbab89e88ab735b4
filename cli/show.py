"""``hypergrad show`` and ``hypergrad studies``: what a store holds."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from . import options

ORDER = {
    "number": lambda trial: trial.number,
    "value": lambda trial: trial.value if math.isfinite(trial.value) else math.inf,
    "seconds": lambda trial: trial.seconds,
}


@click.command(short_help="Print the trials of a study.")
@click.argument("study", required=False)
@options.store_option
@click.option(
    "--sort-by",
    type=click.Choice(list(ORDER)),
    default="number",
    show_default=True,
    help="The order of the trials.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N in that order.")
@options.json_option
def show(study: str | None, store: Path, sort_by: str, limit: int | None, as_json: bool) -> None:
    """Print the trials of STUDY, a name or the beginning of a key; by default the newest study.

    The best trial is marked with a star. Vectors are shown as their range; --json has them in full, with the
    gradients, the learning curves and all that is known of each trial.
    """
    loaded = options.stored_study(store, study)
    every = loaded.trials
    best = loaded.best.number if any(trial.finite for trial in every) else None
    chosen = sorted(every, key=ORDER[sort_by])[:limit]
    if as_json:
        head = {"study": loaded.name, "key": loaded.key, "store": str(store), "created": loaded.created}
        known = {"seed": loaded.seed, "info": loaded.info, "best": best}
        options.print_json(head | known | {"trials": [trial_json(trial) for trial in chosen]})
        return
    from hypergrad.report import tables

    about = ", ".join(f"{key} {value}" for key, value in loaded.info.items() if value is not None)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    made = minute(loaded.created)
    click.echo(f"study {loaded.name}{': ' if about else ''}{about}, seed {loaded.seed}, made {made}")
    options.print_table(tables.trials(chosen, best=best, width=width))
    if len(chosen) < len(every):
        click.echo(f"{len(chosen)} of {len(every)} trials")


def minute(moment: str) -> str:
    """An ISO 8601 moment in UTC, to the minute."""
    return f"{moment[:16].replace('T', ' ')} UTC"


def trial_json(trial: Any) -> dict[str, Any]:
    """All that is known of a trial, for ``--json``."""
    names = (
        "number", "state", "value", "hparams", "wants_gradient", "gradient", "seed", "cost", "seconds", "started",
        "curve", "metrics", "stats", "versions", "note", "error",
    )  # fmt: skip
    return {name: getattr(trial, name) for name in names} | {"curve_steps": trial.curve_steps}


@click.command(short_help="List the studies of a store.")
@options.store_option
@options.json_option
def studies(store: Path, as_json: bool) -> None:
    """List the studies of a store, the oldest first."""
    from dataclasses import asdict

    from hypergrad import study

    held = study.studies(store)
    if as_json:
        options.print_json([asdict(summary) for summary in held])
        return
    from hypergrad.report import tables

    rows = [
        {
            "study": summary.name,
            "sampler": summary.sampler,
            "seed": summary.seed,
            "dimensions": summary.dimension,
            "trials": summary.complete + summary.failed,
            "best": summary.best,
            "made": minute(summary.created),
        }
        for summary in held
    ]
    options.print_table(tables.studies(rows))
