"""What a run leaves beside its code: results.json, table.md, tables as CSV, figures, and the times.

results.json depends on code, data, seeds and versions alone, so that an interrupted run that was continued writes the
same bytes as one that was not. CPU seconds, and quantities that follow from stages that run
alone, are in timings.json.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from hypergrad.errors import ExperimentError
from hypergrad.experiments import fingerprint
from hypergrad.experiments.cache import write
from hypergrad.experiments.declare import CANVAS
from hypergrad.experiments.experiment import RESULTS, Experiment
from hypergrad.experiments.judge import Verdict, gathered, judge, overall, show

__all__ = ["TIMINGS", "conclude", "read", "stamp", "verdicts_of"]

TIMINGS = "timings.json"
_FORMATS = ("svg", "png")


def conclude(experiment: Experiment) -> list[Verdict]:
    """Compute the quantities from the results of the stages, judge them, and write everything.

    Raises:
        ExperimentError: a function of run.py failed or returned something else; a file cannot be written.
    """
    values, measured = _quantities(experiment)
    verdicts = judge(values, experiment.expected, experiment.scale, experiment.name)
    tables = {name: _frame(experiment, name) for name in _role(experiment, "table")}
    for name, frame in tables.items():
        write(experiment.output / f"{name}.csv", frame.to_csv(index=False))
    for name in _role(experiment, "figure"):
        _draw(experiment, name)
    exact = [verdict for verdict in verdicts if verdict.name not in measured]
    record = {
        "experiment": experiment.name,
        "scale": experiment.scale,
        "seeds": experiment.setting.axes["seed"],
        "status": overall(exact),
        "quantities": {verdict.name: _entry(verdict) for verdict in exact},
        "versions": fingerprint.versions(experiment.config.needs),
        "definition": experiment.definition[:16],
        "surroundings": experiment.surroundings[:16],
    }
    write(experiment.output / "table.md", _page(experiment, verdicts, tables))
    timings = _timings(experiment) | {
        "quantities": {verdict.name: _entry(verdict) for verdict in verdicts if verdict.name in measured}
    }
    write(experiment.output / TIMINGS, json.dumps(timings, indent=1, allow_nan=False) + "\n")
    write(experiment.output / RESULTS, json.dumps(record, indent=1, allow_nan=False) + "\n")
    return verdicts


def read(experiment: Experiment, name: str = RESULTS) -> dict[str, Any] | None:
    """results.json or timings.json of an experiment; None where there is none.

    Raises:
        ExperimentError: it is no JSON.
    """
    path = experiment.output / name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(experiment, name, str(error)) from None
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(found, dict):
        raise _damaged(experiment, name, f"a {type(found).__name__}, no object")
    return found


def _damaged(experiment: Experiment, name: str, how: str) -> ExperimentError:
    return ExperimentError(
        f"{experiment.output / name} is damaged ({how}); remove it and run {experiment.name} again"
    )


def verdicts_of(experiment: Experiment, record: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on what stands in results.json and was measured, by expected.json as it is now.

    Raises:
        ExperimentError: it is damaged; expected.json names a quantity that it lacks.
    """
    measured = read(experiment, TIMINGS) or {}
    try:
        entries = {**record["quantities"], **measured.get("quantities", {})}
        values = {name: _values(entry) for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(experiment, RESULTS, f"{type(error).__name__}: {error}") from None
    return judge(values, experiment.expected, experiment.scale, experiment.name)


def stamp(experiment: Experiment) -> str:
    """Versions and seeds, in a line."""
    seeds = experiment.setting.axes["seed"]
    known = fingerprint.versions(experiment.config.needs)
    versions = ", ".join(f"{name} {version}" for name, version in known.items())
    return f"{experiment.scale} scale, seeds {', '.join(map(str, seeds))}; {versions}"


def _role(experiment: Experiment, role: str) -> list[str]:
    return [name for name, function in experiment.functions.items() if function.role == role]


def _quantities(
    experiment: Experiment,
) -> tuple[dict[str, tuple[tuple[Any, ...], tuple[int, ...] | None]], set[str]]:
    """The values of all quantities and their seeds; and which of them are measured, so not the same in each run."""
    found: dict[str, tuple[tuple[Any, ...], tuple[int, ...] | None]] = {}
    measured: set[str] = set()
    for name in _role(experiment, "quantities"):
        seeded = "seed" in experiment.axes_of[name]
        seeds = tuple(experiment.setting.axes["seed"]) if seeded else None
        results: dict[int | None, Any] = {
            seed: experiment.call(name, {} if seed is None else {"seed": seed}) for seed in seeds or (None,)
        }
        for quantity, values in gathered(results, f"{experiment.folder / 'run.py'}: {name}()").items():
            if quantity in found:
                raise ExperimentError(
                    f"{experiment.folder / 'run.py'}: two functions return {quantity!r}; rename one"
                )
            found[quantity] = values, seeds
            if experiment.measures(name):
                measured.add(quantity)
    return found, measured


def _entry(verdict: Verdict) -> dict[str, Any]:
    interval = verdict.interval
    return {
        "values": [_text(value) for value in verdict.values],
        "seeds": None if verdict.seeds is None else list(verdict.seeds),
        "mean": _text(verdict.mean),
        "interval": None if interval is None else [_text(end) for end in interval],
        "accepted": str(verdict.bound) or None,
        "status": verdict.status,
    }


def _text(value: bool | float) -> Any:
    """A number that JSON can hold; others by name."""
    return value if isinstance(value, bool) or math.isfinite(value) else repr(float(value))


def _values(entry: Mapping[str, Any]) -> tuple[tuple[bool | float, ...], tuple[int, ...] | None]:
    """What `_entry` wrote of values and seeds; raises where it cannot have."""
    values = tuple(value if isinstance(value, bool) else float(value) for value in entry["values"])
    seeds = None if entry["seeds"] is None else tuple(entry["seeds"])
    if len(values) != (1 if seeds is None else len(seeds)) or not values:
        raise ValueError(f"{len(values)} values for {seeds}")
    return values, seeds


def _frame(experiment: Experiment, name: str) -> Any:
    import pandas as pd

    found = experiment.call(name, {})
    if isinstance(found, list) and all(isinstance(row, Mapping) for row in found):
        found = pd.DataFrame(found)
    if not isinstance(found, pd.DataFrame):
        raise ExperimentError(
            f"{experiment.folder / 'run.py'}: {name}() returned {type(found).__name__}, expected a pandas "
            "DataFrame or a list of dicts"
        )
    return found


def _draw(experiment: Experiment, name: str) -> None:
    import matplotlib

    from hypergrad.report.figures import blank

    canvas = blank()
    canvas.get_layout_engine().set(rect=(0.0, 0.03, 1.0, 0.97))  # the stamp stands below
    experiment.call(name, {}, **{CANVAS: canvas})
    canvas.text(0.995, 0.002, stamp(experiment), ha="right", va="bottom", fontsize=4, color="0.5")
    for kind in _FORMATS:
        buffer = BytesIO()
        try:
            with matplotlib.rc_context({"svg.hashsalt": experiment.name}):
                canvas.savefig(
                    buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None
                )
        except Exception as error:  # of what the function asked for, as text that is no formula
            raise ExperimentError(
                f"{experiment.folder / 'run.py'}: what {name}() drew cannot be written as {kind}: "
                f"{type(error).__name__}: {error}"
            ) from error
        write(experiment.output / f"{name}.{kind}", buffer.getvalue())


def _page(experiment: Experiment, verdicts: Sequence[Verdict], tables: Mapping[str, Any]) -> str:
    lines = [f"# {experiment.config.title}", "", *markdown(verdict_rows(verdicts)), "", stamp(experiment)]
    for name, frame in tables.items():
        rows = [
            {str(k): show(v) if isinstance(v, float) else v for k, v in row.items()}
            for row in frame.to_dict("records")
        ]
        lines += ["", f"## {name}", "", *markdown(rows)]
    return "\n".join(lines) + "\n"


def verdict_rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """Rows of the table of quantities."""
    return [
        {
            "quantity": verdict.name,
            "what": "" if verdict.entry is None else verdict.entry.about,
            "theirs": ""
            if verdict.entry is None or verdict.entry.theirs is None
            else show(verdict.entry.theirs),
            "ours": verdict.ours,
            "accepted": str(verdict.bound),
            "status": verdict.status,
        }
        for verdict in verdicts
    ]


def markdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a Markdown table."""
    if not rows:
        return ["(no rows)"]
    cells = [[str(value).replace("|", "\\|").replace("\n", " ") for value in row.values()] for row in rows]
    head = [str(name) for name in rows[0]]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells)]


def _timings(experiment: Experiment) -> dict[str, Any]:
    """CPU seconds of each task where it was computed, and the machine."""
    tasks = {str(task): experiment.cache.load(*id)[1] for id, task in experiment.tasks.items()}
    return {
        "seconds": round(sum(tasks.values()), 2),
        "tasks": {name: round(seconds, 3) for name, seconds in tasks.items()},
        "cores": os.cpu_count(),
        "threads": 1,
        "processor": _processor(),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
