"""An experiment folder, loaded, and the tasks that it asks for.

A task is a stage at one value of each of its axes. Its key is a hash of all that its result depends on: the code that
it uses, hypergrad, the versions of what it needs, its data files, its parameters, its place, and the keys of the tasks
whose results it takes.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from hypergrad.errors import ExperimentError, unknown_name
from hypergrad.experiments import fingerprint
from hypergrad.experiments.cache import Cache
from hypergrad.experiments.config import Config, Expected, Setting, read_config, read_expected
from hypergrad.experiments.declare import CANVAS, Declared, declared
from hypergrad.study.codec import encode

__all__ = ["Experiment", "Task", "beside", "find"]

CACHE = ".cache"
RESULTS = "results.json"


@dataclass(frozen=True)
class Task:
    """A stage at one place.

    Attributes:
        stage: its name.
        place: ((axis, value), ...) in the order of the axes.
        key: hash of all that the result depends on.
        before: the tasks whose results it takes.
    """

    stage: str
    place: tuple[tuple[str, Any], ...]
    key: str
    before: tuple[tuple[str, str], ...]

    @property
    def id(self) -> tuple[str, str]:
        """Stage and key."""
        return self.stage, self.key

    def __str__(self) -> str:
        return " ".join([self.stage, *(f"{axis} {value}" for axis, value in self.place)])


@dataclass(frozen=True, eq=False)
class Experiment:
    """A folder with config.toml, expected.json and run.py, at one scale.

    Args:
        folder: absolute.
        scale: ``"full"`` or ``"smoke"``.
        out: where results go; None: the folder itself. Those of the smoke scale go to ``smoke`` there.

    Raises:
        ExperimentError: a file is missing or not as it should be; something that it needs is not installed.
    """

    folder: Path
    scale: str = "full"
    out: Path | None = None
    _modules: dict[str, ModuleType] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.axes_of  # noqa: B018  (reads everything, so that a mistake is found before anything runs)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.name

    @cached_property
    def config(self) -> Config:
        """config.toml."""
        return read_config(self.folder / "config.toml")

    @cached_property
    def setting(self) -> Setting:
        """Axes and parameters at this scale."""
        return self.config.at(self.scale)

    @cached_property
    def expected(self) -> dict[str, Expected]:
        """expected.json."""
        return read_expected(self.folder / "expected.json")

    @property
    def output(self) -> Path:
        """The folder of results, tables and figures."""
        base = self.folder if self.out is None else self.out / self.name
        return base if self.scale == "full" else base / self.scale

    @cached_property
    def cache(self) -> Cache:
        """The results of stages; both scales share it."""
        return Cache((self.folder if self.out is None else self.out / self.name) / CACHE)

    @cached_property
    def functions(self) -> dict[str, Declared]:
        """What run.py declares."""
        self._check_needs(self.config.needs)
        path = self.folder / "run.py"
        if not path.is_file():
            raise ExperimentError(f"{self.folder} has no run.py; 'hypergrad new-experiment' shows one")
        with beside(self.folder, self._modules):
            spec = importlib.util.spec_from_file_location(
                f"hypergrad_experiment_{abs(hash(self.folder))}", path
            )
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            try:
                spec.loader.exec_module(module)
                found = declared(vars(module))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                raise ExperimentError(f"{path}: {told(error, path)}") from error
        if not any(f.role == "quantities" for f in found.values()):
            raise ExperimentError(
                f"{path} declares no quantities; mark a function that returns them @quantities"
            )
        return found

    def _check_needs(self, names: list[str]) -> None:
        missing = [name for name in names if not _importable(name)]
        if missing:
            raise ExperimentError(
                f"{self.name} needs {', '.join(missing)}, which is not installed; "
                f"pip install {' '.join(missing)}"
            )

    @cached_property
    def axes_of(self) -> dict[str, tuple[str, ...]]:
        """The axes of each declared function, as its arguments name them; raises where an argument is unknown."""
        if any(f.role == "figure" for f in self.functions.values()):
            self._check_needs(["matplotlib"])
        path, setting, found = self.folder / "run.py", self.setting, {}
        stages = [name for name, f in self.functions.items() if f.role == "stage"]
        if CANVAS in (*setting.axes, *setting.parameters, *stages):
            raise ExperimentError(
                f"{path}: {CANVAS!r} is what figures draw on; rename the axis, parameter or stage"
            )
        for name, function in self.functions.items():
            for argument in function.arguments:
                known = [
                    *setting.axes,
                    *setting.parameters,
                    *stages,
                    *([CANVAS] if function.role == "figure" else []),
                ]
                if argument in stages and (argument in setting.axes or argument in setting.parameters):
                    raise ExperimentError(
                        f"{path}: {argument!r} is a stage and a name in config.toml; rename one"
                    )
                if argument not in known and argument not in function.optional:
                    error = unknown_name("axis, parameter or stage", argument, known, ExperimentError)
                    raise ExperimentError(f"{path}: {name}() takes {argument!r}: {error}")
            found[name] = tuple(a for a in function.arguments if a in setting.axes)
            if function.role == "figure" and CANVAS not in function.arguments:
                raise ExperimentError(
                    f"{path}: {name}() is a figure and has to take {CANVAS!r}, to draw on it"
                )
            extra = [axis for axis in found[name] if axis != "seed"] if function.role == "quantities" else []
            if extra or (found[name] and function.role in ("table", "figure")):
                raise ExperimentError(
                    f"{path}: {name}() takes the axis {(extra or found[name])[0]!r}, which a function of "
                    f"{function.role} cannot; take the stage's results, a dict by the axis's values"
                )
        return found

    def inputs(self, name: str) -> list[str]:
        """The stages whose results a function takes."""
        return [a for a in self.functions[name].arguments if a in self._stages]

    def measures(self, name: str) -> bool:
        """Whether a function's result depends on a stage that runs alone, so on how fast or large the machine is."""
        return self.functions[name].alone or any(map(self.measures, self.inputs(name)))

    @cached_property
    def tasks(self) -> dict[tuple[str, str], Task]:
        """All tasks by id, each after those that it needs."""
        return {task.id: task for tasks in self._by_stage.values() for task in tasks.values()}

    @cached_property
    def _by_stage(self) -> dict[str, dict[tuple, Task]]:
        """Stage -> values of its axes -> task; each stage after those that it needs."""
        source = self._source
        base = fingerprint.digest(
            fingerprint.engine(),
            encode(fingerprint.versions(self.config.needs), sort=True),
            self._data,
        )
        made: dict[str, dict[tuple, Task]] = {}
        waiting = [name for name, f in self.functions.items() if f.role == "stage"]
        begun: list[str] = []
        while waiting:
            name = waiting[-1]
            missing = [below for below in self.inputs(name) if below not in made]
            if name in made or not missing:
                waiting.pop()
                if name not in made:
                    made[name] = self._tasks_of(name, base, source.of(name), made)
                continue
            if name in begun:
                raise ExperimentError(
                    f"{self.folder / 'run.py'}: the stages {', '.join(begun)} need each other"
                )
            begun.append(name)
            waiting += missing
        return made

    def _tasks_of(
        self, name: str, base: str, code: str, made: dict[str, dict[tuple, Task]]
    ) -> dict[tuple, Task]:
        function, setting, axes = self.functions[name], self.setting, self.axes_of[name]
        parameters = {a: setting.parameters[a] for a in function.arguments if a in setting.parameters}
        tasks = {}
        for values in itertools.product(*(setting.axes[axis] for axis in axes)):
            place = dict(zip(axes, values, strict=True))
            before = [task for below in self.inputs(name) for task in self._at(below, place, made)]
            key = fingerprint.digest(
                base, name, code, encode([parameters, place], sort=True), *(task.key for task in before)
            )
            tasks[values] = Task(name, tuple(place.items()), key, tuple(dict.fromkeys(t.id for t in before)))
        return tasks

    def _at(self, stage: str, place: dict[str, Any], made: dict[str, dict[tuple, Task]]) -> list[Task]:
        """The tasks of a stage that agree with a place."""
        return [
            task
            for task in made[stage].values()
            if all(place.get(axis, value) == value for axis, value in task.place)
        ]

    def needed(self, functions: list[str]) -> dict[tuple[str, str], Task]:
        """The tasks that functions need, themselves included where they are stages."""
        wanted = {
            below for name in functions for below in ([name] if name in self._stages else self.inputs(name))
        }
        ids = [task.id for task in self.tasks.values() if task.stage in wanted]
        kept: dict[tuple[str, str], None] = {}
        while ids:
            found = ids.pop()
            if found not in kept:
                kept[found] = None
                ids += self.tasks[found].before
        return {id: task for id, task in self.tasks.items() if id in kept}

    @property
    def _stages(self) -> set[str]:
        return {name for name, f in self.functions.items() if f.role == "stage"}

    def arguments(self, name: str, place: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a function at a place, results of stages from the cache."""
        found: dict[str, Any] = {}
        for argument in self.functions[name].arguments:
            if argument in place:
                found[argument] = place[argument]
            elif argument in self.setting.parameters:
                found[argument] = self.setting.parameters[argument]
            elif argument in self._stages:
                found[argument] = self._result(argument, place)
        return found

    def _result(self, stage: str, place: dict[str, Any]) -> Any:
        """The result at a place; nested dicts by the values of the axes that the place lacks."""
        free = [axis for axis in self.axes_of[stage] if axis not in place]

        def gather(axes: list[str], fixed: dict[str, Any]) -> Any:
            if not axes:
                (task,) = self._at(stage, fixed, self._by_stage)
                return self.cache.load(stage, task.key)[0]
            axis, *rest = axes
            return {value: gather(rest, {**fixed, axis: value}) for value in self.setting.axes[axis]}

        return gather(free, {axis: place[axis] for axis in self.axes_of[stage] if axis in place})

    def call(self, name: str, place: dict[str, Any], **more: Any) -> Any:
        """Call a function of run.py at a place.

        Raises:
            ExperimentError: it raised; says where in run.py.
        """
        path = self.folder / "run.py"
        arguments = self.arguments(name, place)
        with beside(self.folder, self._modules):
            try:
                return self.functions[name].function(**arguments, **more)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                at = " ".join([f"{name}()", *(f"at {axis} {value}" for axis, value in place.items())])
                raise ExperimentError(f"{path}: {at}: {told(error, path)}") from error

    @cached_property
    def surroundings(self) -> str:
        """Hash of what results depend on outside of the folder: hypergrad, and modules next to it."""
        return fingerprint.digest(fingerprint.engine(), self._source.shared)

    @cached_property
    def definition(self) -> str:
        """Hash of the folder's own files that results depend on, to tell whether results.json is of them."""
        place = encode([self.setting.axes, self.setting.parameters], sort=True)
        return fingerprint.digest(place, self._data, self._source.own)

    @property
    def _data(self) -> str:
        """Hash of the data files."""
        return self._data_and_stamps[0]

    @cached_property
    def _data_and_stamps(self) -> tuple[str, list[tuple[Path, int, int]]]:
        files = self._data_files()
        found = fingerprint.stamps(files)  # before they are read
        return fingerprint.data_digest(self.folder, files), found

    def _data_files(self) -> list[Path]:
        """The data files; what a run writes is none, even where a pattern fits it."""
        kinds = {"table": (".csv",), "figure": (".svg", ".png")}
        drawn = {f"{name}{kind}" for name, f in self.functions.items() for kind in kinds.get(f.role, ())}
        written = {RESULTS, "table.md", "timings.json", CACHE, "smoke", "__pycache__", *drawn}
        return fingerprint.data_files(self.folder, self.config.data, frozenset(written))

    @property
    def data_changed(self) -> bool:
        """Whether the data files are others than those that keys were made of."""
        data, found = self._data_and_stamps
        files = self._data_files()
        return fingerprint.stamps(files) != found and fingerprint.data_digest(self.folder, files) != data

    @cached_property
    def _source(self) -> fingerprint.Source:
        return fingerprint.Source(self.folder / "run.py", (self.folder, self.folder.parent))


def find(folder: Path) -> list[Path]:
    """The experiment folders in a folder, by name; itself where it is one."""
    if (folder / "config.toml").is_file():
        return [folder]
    return sorted(below for below in folder.iterdir() if (below / "config.toml").is_file())


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # of the package that a submodule is in
        return False


def where(error: BaseException, path: Path) -> str:
    """``"line 12: "``: the last line of run.py that an error passed through, or of another file in its folder."""
    found, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file == path:
            found = f"line {trace.tb_lineno}: "
        elif file.is_relative_to(path.parent) and "site-packages" not in file.parts:
            found = f"{file.relative_to(path.parent)}, line {trace.tb_lineno}: "
        trace = trace.tb_next
    return found


def told(error: BaseException, path: Path) -> str:
    """An error that code of run.py raised, in a line: where, its name and what it says."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{where(error, path)}{type(error).__name__}" + (f": {text}" if text else "")


@contextmanager
def beside(folder: Path, modules: dict[str, ModuleType]) -> Iterator[None]:
    """Modules in a folder are imported before others, those next to it after.

    Args:
        folder: of the experiment.
        modules: those that it has imported; they are put back, and taken out again in the end with what was added, so
            that experiments can have modules of the same name.
    """
    others = {name.partition(".")[0] for name in sys.modules}
    sys.modules.update(modules)
    sys.path.insert(0, str(folder))
    sys.path.append(str(folder.parent))
    try:
        yield
    finally:
        if str(folder) in sys.path:  # else what was called has changed the path
            sys.path.remove(str(folder))
        if str(folder.parent) in sys.path:
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(str(folder.parent))]
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in others:
                continue
            known = getattr(module, "__dict__", {})  # asked for by name, a module may warn or import
            places = known.get("__path__")  # a package without __init__.py has no file
            file = Path(known.get("__file__") or next(iter(places or ()), "/"))
            if file.is_relative_to(folder.parent) and "site-packages" not in file.parts:
                modules[name] = sys.modules.pop(name)
