"""``hypergrad importance``, ``slice`` and ``why``: what a study has learned."""

from __future__ import annotations

from pathlib import Path

import click

from . import options

SHOWN = {1: 11, 2: 5}  # values along each axis of a printed slice
DRAWN = {1: 101, 2: 41}  # and of one that is written to a file

at_option = click.option(
    "--at", type=click.IntRange(min=0), metavar="N", help="Hold the others at trial N.  [default: the best]"
)


@click.command(short_help="Print which hyperparameters matter.")
@click.argument("study", required=False)
@options.store_option
@click.option(
    "--by",
    type=click.Choice(["parameter", "coordinate"]),
    default="parameter",
    show_default=True,
    help="Whether an array is one row, or each of its entries.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N.")
@options.json_option
def importance(study: str | None, store: Path, by: str, limit: int | None, as_json: bool) -> None:
    """Print which hyperparameters of STUDY matter; by default those of the newest study.

    Total and alone are Sobol indices of a model of the loss over the whole space: the share of its variance in which
    a hyperparameter takes part, and the share that it explains alone. Slope is the root of the mean squared
    derivative along the unit interval, share its part of the sum of squares: averages over the trials, most of which
    a good sampler places where the loss is low. Above the median of the trials, losses count on a logarithmic scale.
    --json has more.
    """
    loaded = options.stored_study(store, study)
    with options.one_thread():
        found = loaded.importance()
    rows = (found.parameters if by == "parameter" else found.coordinates)[:limit]
    if as_json:
        from dataclasses import asdict

        head = {"study": loaded.name, "by": by, "gradients": found.gradients, "exploded": found.exploded}
        known = {"values": found.values, "variance": found.variance, "explained": found.explained}
        options.print_json(head | known | {"notes": found.notes, "rows": [asdict(row) for row in rows]})
        return
    from hypergrad.report import tables

    click.echo(f"study {loaded.name}: {found.values} losses, {found.gradients} gradients")
    options.print_table(tables.importance(rows))
    for note in found.notes:
        click.echo(f"note: {note}")


@click.command("slice", short_help="Print or draw how the loss depends on a hyperparameter.")
@click.argument("study")
@click.argument("names", nargs=-1, required=True)
@options.store_option
@at_option
@click.option("--points", type=click.IntRange(min=2), metavar="N", help="How many values along each axis.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a figure (.png, .pdf, .svg; needs matplotlib) or a table (.csv) instead of printing.",
)
@options.json_option
def slice_(
    study: str, names: tuple[str, ...], store: Path, at: int | None, points: int | None, output: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Print how the loss of STUDY depends on one or two hyperparameters, the NAMES, while the others are held.

    NAMES are as in 'hypergrad importance --by coordinate', such as lr or 'l2[3,0]'. Each row has the loss that a model
    of all trials expects: its mean and standard deviation, its median and the interval that holds it with
    probability 95 %, and the derivative of the median.
    """
    from hypergrad.report import figures

    kinds = (".csv", *figures.FORMATS)
    if output is not None and output.suffix.lower() not in kinds:
        raise click.BadParameter(f"{str(output)!r} ends in none of {', '.join(kinds)}", param_hint="'-o'")
    loaded = options.stored_study(store, study)
    usual = (SHOWN if output is None else DRAWN).get(len(names))
    with options.one_thread():
        found = loaded.slice(*names, at=at, points=points or usual)
    through = f"study {loaded.name}: {' and '.join(names)} through trial {found.number}"
    if output is not None:
        if output.suffix.lower() == ".csv":
            found.dataframe().to_csv(output, index=False)
        else:
            figures.save(figures.slice_figure(found, through), output)
        click.echo(f"written to {output}")
    if as_json:
        rows = found.dataframe().to_dict("records")
        options.print_json({"study": loaded.name, "trial": found.number, "at": found.at, "rows": rows})
    elif output is None:
        from hypergrad.report import tables

        click.echo(through)
        options.print_table(tables.slices(found))


@click.command(short_help="Say why a trial was tried.")
@click.argument("study")
@click.argument("number", type=int)
@options.store_option
@options.json_option
def why(study: str, number: int, store: Path, as_json: bool) -> None:
    """Say why the trial of this NUMBER was tried in STUDY, and what came of it.

    The reason is the sampler's: the step of a descent, the place in a sequence, or what its model expected there, from
    the trials before it alone.
    """
    from dataclasses import asdict

    loaded = options.stored_study(store, study)
    with options.one_thread():
        found = loaded.why(number)
    if as_json:
        options.print_json({"study": loaded.name} | asdict(found))
    else:
        click.echo(found.text)
