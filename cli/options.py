"""Arguments and options that several commands share."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from hypergrad.errors import unknown_name

DEFAULT_STORE = "hypergrad.db"


class Registered(click.ParamType):
    """A name of a registry, which is imported only when a name is looked up."""

    def __init__(self, kind: str, registry: Callable[[], Mapping[str, Any]]) -> None:
        self.name = kind
        self.registry = registry

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """`value`, if the registry holds it."""
        names = self.registry()
        if value not in names:
            raise click.UsageError(str(unknown_name(self.name, value, names)), ctx)
        return value


def tasks() -> Mapping[str, Any]:
    """The registry of tasks."""
    from hypergrad.tasks import TASKS

    return TASKS


def samplers() -> Mapping[str, Any]:
    """The registry of samplers."""
    from hypergrad.samplers import SAMPLERS

    return SAMPLERS


def methods() -> Mapping[str, Any]:
    """The registry of methods."""
    from hypergrad.hypergradients import METHODS

    return METHODS


def positive(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """`value` if it is a finite positive number; misuse otherwise."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value} is no positive number", ctx, param)
    return value


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """`value` if it is a finite number; misuse otherwise."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no finite number", ctx, param)
    return value


task_argument = click.argument("task", type=Registered("task", tasks))
data_option = click.option(
    "--data",
    required=True,
    metavar="NAME|FILE",
    help="A bundled data set (digits, breast_cancer, wine, diabetes) or a CSV file.",
)
target_option = click.option("--target", metavar="COLUMN", help="The column to predict; a CSV file needs it.")
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the split into train, validation and test, of the batches and of the sampler.",
)
store_option = click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_STORE,
    show_default=True,
    help="The SQLite file that keeps the studies.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def load_data(data: str, target: str | None, seed: int) -> Any:
    """The data set that ``--data`` and ``--target`` name.

    Raises:
        DataError: it cannot be read or learned from; where ``--target`` may be what is missing, it says so.
    """
    from hypergrad.errors import DataError
    from hypergrad.tasks import BUNDLED, load

    try:
        return load(data, target=target, seed=seed)
    except DataError as error:
        if target is None and data not in BUNDLED and Path(data).is_file():
            raise DataError(f"{error} (--target COLUMN names the column to predict)") from None
        raise


def stored_study(store: Path, which: str | None) -> Any:
    """The study of a name, or the newest one.

    Raises:
        StudyError: the store holds no such study, or none at all.
    """
    from hypergrad.errors import StudyError
    from hypergrad.study import load_study, studies

    if which is None:
        held = studies(store)
        if not held:
            raise StudyError(f"{store} holds no study yet; 'hypergrad tune' makes one")
        which = held[-1].key
    return load_study(store, which)


def print_json(value: Any) -> None:
    """One JSON document on stdout, ASCII only; numbers that are not finite are null."""
    from hypergrad.report.summary import dumps

    click.echo(dumps(value))


def print_table(renderable: Any) -> None:
    """A rich renderable on stdout."""
    from hypergrad.report import tables

    tables.write(renderable, sys.stdout)


def one_thread() -> Any:
    """A context in which BLAS uses one thread.

    The models are small enough to lose by more, and the last bits of a result no longer depend on the number of cores.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")
