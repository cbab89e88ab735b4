"""``hypergrad ask``, ``tell`` and ``best``: a study for a trainer in any language."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .show import trial_json

if TYPE_CHECKING:
    import hypergrad as hg
    from hypergrad.study import Best

WAIT = 10.0


class JsonText(click.ParamType):
    """A JSON object, or ``@FILE`` with one."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object that the text or the file holds."""
        text, where = value, "it"
        if value.startswith("@"):
            where = value[1:]
            try:
                text = Path(where).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                self.fail(f"{where} is no text in UTF-8", param, ctx)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                self.fail(f"{where} cannot be read ({reason})", param, ctx)
        try:
            found = json.loads(text)
        except RecursionError:
            self.fail(f"{where} is nested too deeply", param, ctx)
        except ValueError as error:
            self.fail(f"{where} is no JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail(
                f'{where} is {text.strip()[:40]}, expected an object such as {{"lr": -0.4}}', param, ctx
            )
        return found


wait_option = click.option(
    "--wait",
    type=float,
    default=WAIT,
    show_default=True,
    callback=options.positive,
    help="Seconds to wait while another process changes the study.",
)


@click.command(short_help="Print the next trial of a study for a trainer of your own.")
@click.argument("study")
@click.option(
    "--space",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What is searched, as TOML or JSON; makes the study if there is none.",
)
@click.option(
    "--sampler",
    type=options.Registered("sampler", options.samplers),
    help="How the next trial is chosen.  [default: the study's; of a new study, that of the package]",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the sampler.  [default: the study's, or 0]")
@click.option(
    "--again",
    type=click.IntRange(min=0),
    metavar="N",
    help="Print the running trial N once more, whose trainer is lost, instead of the next one.",
)
@options.store_option
@wait_option
@options.json_option
def ask(
    study: str,
    space: Path | None,
    sampler: str | None,
    seed: int | None,
    again: int | None,
    store: Path,
    wait: float,
    as_json: bool,
) -> None:
    """Print the next trial of STUDY: its number, its hyperparameters, and whether the gradient is wanted.

    The trial stays running until 'hypergrad tell' has its value; until then each further ask prints another trial,
    so that several trainers can work beside one another. Numbers have all their digits, in the table and with --json.
    """
    chosen = opened(study, space, sampler, seed, store)
    chosen.wait = wait
    try:
        trial = chosen.ask(detached=True, again=again)
    finally:
        chosen.close()
    if as_json:
        options.print_json(asked_json(chosen, trial))
        return
    from hypergrad.report import tables

    click.echo(f"trial {trial.number} of study {chosen.name}, seed {trial.seed}")
    options.print_table(tables.exact(trial.hparams))
    wish = " --gradient JSON" if trial.wants_gradient else ""
    place = [] if str(store) == options.DEFAULT_STORE else ["--store", str(store)]
    told = shlex.join(["hypergrad", "tell", chosen.name, str(trial.number), *place])
    click.echo(f"\nthe gradient is {'wanted' if trial.wants_gradient else 'not needed'}; when it is done:")
    click.echo(f"  {told} --value VALUE{wish}")


def asked_json(study: hg.Study, trial: hg.Trial) -> dict[str, Any]:
    """What a trainer needs to know of a trial."""
    names = ("number", "hparams", "wants_gradient", "seed")
    return {"study": study.name} | {name: getattr(trial, name) for name in names}


def opened(study: str, space: Path | None, sampler: str | None, seed: int | None, store: Path) -> hg.Study:
    """The study of a name, made when there is none and the space is given.

    Raises:
        StudyError: there is none and no space, or the stored one differs from what is given.
    """
    import hypergrad as hg
    from hypergrad.errors import StudyError
    from hypergrad.samplers import SAMPLERS
    from hypergrad.space import read_space
    from hypergrad.study import load_study

    if space is None and not store.exists():
        raise StudyError(
            f"there is no study {study!r}, since there is no store {store}; --space FILE makes both"
        )
    wanted = None if space is None else read_space(space)
    if wanted is not None and study not in held(store):
        chosen = None if sampler is None else SAMPLERS[sampler]()
        return hg.Study(study, wanted, chosen, store, seed or 0, info={"space": str(space)})
    try:
        found = load_study(store, study)
    except StudyError as error:
        raise StudyError(f"{error} (--space FILE makes a new study)") from None
    if wanted is None and sampler is None and seed is None:
        return found
    try:
        return hg.Study(
            found.name,
            found.space if wanted is None else wanted,
            found.sampler if sampler is None else SAMPLERS[sampler](),
            store,
            found.seed if seed is None else seed,
            key=found.key,
        )
    finally:
        found.close()


def held(store: Path) -> set[str]:
    """The keys and the names in a store, which is made if there is none."""
    from hypergrad.study.store import Store

    file = Store(store)
    try:
        return {name for row in file.studies() for name in (row.key, row.name)}
    finally:
        file.close()


@click.command(short_help="Tell a study what came of a trial.")
@click.argument("study")
@click.argument("number", type=click.IntRange(min=0))
@click.option(
    "--value", type=float, help="The validation loss, which is minimised; nan and inf say that it diverged."
)
@click.option(
    "--gradient",
    type=JsonText(),
    metavar="JSON|@FILE",
    help="Its derivative by each hyperparameter, in natural units: '{\"lr\": -0.4}'; null and what is missing are "
    "unknown.",
)
@click.option("--failed", metavar="REASON", help="The trial has no value, and why.")
@click.option("--cost", type=float, help="Training steps that it took.  [default: 0]")
@click.option(
    "--metrics", type=JsonText(), metavar="JSON|@FILE", help="Further results, kept with the trial."
)
@options.store_option
@wait_option
@options.json_option
def tell(
    study: str,
    number: int,
    value: float | None,
    gradient: dict[str, Any] | None,
    failed: str | None,
    cost: float | None,
    metrics: dict[str, Any] | None,
    store: Path,
    wait: float,
    as_json: bool,
) -> None:
    """Tell STUDY what came of its running trial NUMBER: its --value and, where known, its --gradient; or --failed."""
    if (value is None) == (failed is None):
        raise click.UsageError("give either --value or --failed")
    if failed is not None and not (gradient is None and cost is None and metrics is None):
        raise click.UsageError("--failed goes with no --gradient, --cost or --metrics")
    chosen = options.stored_study(store, study)
    chosen.wait = wait
    try:
        if failed is not None:
            trial = chosen.fail(number, failed)
        else:
            trial = chosen.tell(number, value, unknown(gradient), cost=cost or 0.0, metrics=metrics)
        best = best_of(chosen)
    finally:
        chosen.close()
    if as_json:
        known = {"study": chosen.name, "best": best and {"number": best.number, "value": best.value}}
        options.print_json(known | trial_json(trial))
        return
    outcome = f"failed: {trial.error}" if failed is not None else f"value {trial.value!r}"
    standing = f"; best {best.value!r} in trial {best.number}" if best else ""
    click.echo(f"trial {number} of study {chosen.name}: {outcome}{standing}")


def best_of(study: hg.Study) -> Best | None:
    """The best trial so far; None when no trial can be it."""
    from hypergrad.errors import StudyError

    try:
        return study.best
    except StudyError:
        return None


def unknown(gradient: Any, inside: bool = False) -> Any:
    """The gradient with nan for each null inside a vector."""
    if isinstance(gradient, dict):
        return {key: unknown(below) for key, below in gradient.items()}
    if isinstance(gradient, list):
        return [unknown(each, inside=True) for each in gradient]
    return math.nan if gradient is None and inside else gradient


@click.command(short_help="Print the best trial of a study.")
@click.argument("study", required=False)
@options.store_option
@options.json_option
def best(study: str | None, store: Path, as_json: bool) -> None:
    """Print the hyperparameters of the smallest value in STUDY, with every digit; by default of the newest study."""
    chosen = options.stored_study(store, study)
    found = chosen.best
    chosen.close()
    if as_json:
        options.print_json(asked_json(chosen, found.trial) | {"value": found.value})
        return
    from hypergrad.report import tables

    click.echo(f"trial {found.number} of study {chosen.name}: value {found.value!r}")
    options.print_table(tables.exact(found.hparams))
