"""The table of all experiments in a folder: paper, claim, theirs, ours, status, seconds.

It is written to the folder's README.md, between two marks; what stands around them is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from hypergrad.errors import ExperimentError
from hypergrad.experiments.cache import write
from hypergrad.experiments.experiment import Experiment, find
from hypergrad.experiments.judge import ACCEPTED, DEVIATES, Verdict, overall, show
from hypergrad.experiments.outputs import TIMINGS, markdown, read, verdicts_of

__all__ = ["STATUS", "is_current", "overview", "stale", "write_overview"]

BEGIN, END = "<!-- begin: written by hypergrad run --all -->", "<!-- end -->"
STATUS = {ACCEPTED: "reproduced", DEVIATES: "deviates", "outside": "not reproduced"}
_HEAD = "# Experiments\n\n`hypergrad run NAME` runs one, `hypergrad run . --all` all of them and writes this table.\n"


def overview(folder: Path) -> str:
    """The Markdown table of the experiments in a folder, from their results at full scale.

    Raises:
        ExperimentError: results or expected.json are damaged.
    """
    rows = []
    for place in find(folder):
        experiment = Experiment(place)
        config, record = experiment.config, read(experiment)
        row = {
            "experiment": f"[{place.name}]({quote(place.name)})",
            "paper": config.paper,
            "claim": config.claim,
        }
        if record is None:
            rows.append({**row, "theirs": "", "ours": "", "status": "not run", "seconds": ""})
            continue
        verdicts = verdicts_of(experiment, record)
        shown = _headline(experiment, verdicts)
        seconds = (read(experiment, TIMINGS) or {}).get("seconds")
        rows.append(
            {
                **row,
                "theirs": "; ".join(f"{v.name}: {_theirs(v)}" for v in shown),
                "ours": "; ".join(f"{v.name}: {v.ours}" for v in shown),
                "status": STATUS[overall(verdicts)],
                "seconds": f"{seconds:.0f}" if isinstance(seconds, int | float) else "not known",
            }
        )
    return "\n".join(markdown(rows))


def _theirs(verdict: Verdict) -> str:
    return "-" if verdict.entry is None or verdict.entry.theirs is None else show(verdict.entry.theirs)


def _headline(experiment: Experiment, verdicts: Sequence[Verdict]) -> list[Verdict]:
    by_name = {verdict.name: verdict for verdict in verdicts}
    names = experiment.config.headline or list(by_name)[:1]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ExperimentError(
            f"{experiment.folder / 'config.toml'}: headline names {unknown[0]!r}, which results.json does not hold"
        )
    return [by_name[name] for name in names]


def write_overview(folder: Path) -> Path:
    """Put the table into README.md of a folder.

    Raises:
        ExperimentError: README.md has a begin mark and no end mark, or cannot be written.
    """
    path = folder / "README.md"
    write(path, _page(path, overview(folder)))
    return path


def stale(folder: Path) -> bool:
    """Whether README.md of a folder differs from what `write_overview` would write."""
    path = folder / "README.md"
    return not path.is_file() or _text(path) != _page(path, overview(folder))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} cannot be read: {error}") from None


def _page(path: Path, table: str) -> str:
    text = _text(path) if path.is_file() else f"{_HEAD}\n{BEGIN}\n{END}\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ExperimentError(f"{path} has the mark {BEGIN!r} without {END!r} after it; put it back")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def is_current(experiment: Experiment, surroundings: bool = False) -> bool:
    """Whether results.json is of the folder's own code, settings and data; and of hypergrad and shared modules too."""
    record = read(experiment)
    if record is None or record.get("definition") != experiment.definition[:16]:
        return False
    return not surroundings or record.get("surroundings") == experiment.surroundings[:16]
