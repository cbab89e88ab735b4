"""What an answer must not depend on: clocks, the global random state, the process that computes it."""

from __future__ import annotations

import io
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from hypergrad.samplers.base import Proposal, Sampler

__all__ = ["Case", "answers", "elsewhere", "main", "random_states", "strange_clocks"]

Case = tuple[Any, tuple, int, int]
"""(space, history, seed, number): the arguments of `Sampler.ask`."""

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")


def random_states() -> tuple[str, bytes, int]:
    """The global random states of Python and of NumPy, comparable."""
    name, keys, position, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (it is watched, not used)
    return repr(random.getstate()), np.asarray(keys).tobytes() + repr((name, rest)).encode(), int(position)


def disturb_random_states(seed: int) -> None:
    """Seed the global generators of Python and of NumPy."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (a sampler that draws from it is to be found out)


@contextmanager
def strange_clocks(package: str) -> Iterator[None]:
    """Every clock of the module time jumps by an hour a reading, also where `package` imported it by name."""
    ticks = count(1)
    plain: dict[str, Callable] = {}
    for name in _CLOCKS:
        plain[name], plain[f"{name}_ns"] = getattr(time, name), getattr(time, f"{name}_ns")
    strange: dict[str, Callable] = {
        name: (lambda: next(ticks) * 3600 * 10**9) if name.endswith("_ns") else (lambda: next(ticks) * 3600.0)
        for name in plain
    }
    places = [time, *(m for n, m in list(sys.modules.items()) if n.partition(".")[0] == package)]
    changed = [
        (module, attribute, original)
        for module in places
        for name, original in plain.items()
        for attribute, value in list(vars(module).items())
        if value is original
    ]
    of = {id(original): strange[name] for name, original in plain.items()}
    try:
        for module, attribute, original in changed:
            setattr(module, attribute, of[id(original)])
        yield
    finally:
        for module, attribute, original in changed:
            setattr(module, attribute, original)


def answers(sampler: Sampler, cases: Sequence[Case]) -> list[Proposal]:
    """What the sampler proposes in each case."""
    return [sampler.ask(space, past, seed=seed, number=number) for space, past, seed, number in cases]


def elsewhere(sampler: Sampler, cases: Sequence[Case]) -> list[Proposal]:
    """`answers` of a new Python process, which hashes strings otherwise.

    Raises:
        TypeError: the sampler cannot be sent there: its class is not at the top of a module.
        RuntimeError: the process failed; with what it said.
    """
    kind = type(sampler)
    if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
        raise TypeError(f"{kind.__qualname__} is not at the top of a module; move it there")
    file = getattr(sys.modules[kind.__module__], "__file__", None)
    work = pickle.dumps((kind.__module__, file))
    work += pickle.dumps((sampler, list(cases)))
    hashes = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    ran = subprocess.run(
        [sys.executable, "-c", "from hypergrad.testing.surroundings import main; main()"],
        input=work,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr.decode(errors="replace").strip() or f"exit code {ran.returncode}")
    return pickle.loads(ran.stdout)


class _Unpickler(pickle.Unpickler):
    """Finds classes in modules that were loaded from a file, too."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            return super().find_class(module, name)
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        return found


def main() -> None:
    """The other process: reads the sampler and the cases from stdin, writes the proposals to stdout."""
    stream = io.BytesIO(sys.stdin.buffer.read())
    module, file = pickle.load(stream)
    try:
        __import__(module)
    except ImportError:  # a test module, which pytest loads by its path
        if file is None:
            raise
        spec = spec_from_file_location(module, Path(file))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[module] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    sampler, cases = _Unpickler(stream).load()
    found = [Proposal(p.unit, p.wants_gradient, dict(p.note)) for p in answers(sampler, cases)]
    sys.stdout.buffer.write(pickle.dumps(found))
