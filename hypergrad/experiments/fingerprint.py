"""Content hashes of what a result depends on: code, versions and data.

Of a run.py only what a function uses counts: its own text and that of the definitions it names, followed through
the module. Of files beside it that are imported, and of hypergrad, all text counts. Comments, docstrings and layout
do not.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path

from hypergrad.errors import ExperimentError

__all__ = ["Source", "data_digest", "digest", "engine", "versions"]

_WITHOUT_EFFECT = ("experiments", "report", "testing")  # of hypergrad: they compute no result
_ALWAYS = ("numpy", "scipy")


def digest(*parts: str) -> str:
    """sha256 of texts, told apart from each other, in hexadecimal."""
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{len(part)}:{part}".encode())
    return found.hexdigest()


class Source:
    """The text of a run.py, to be asked what a function of it depends on.

    Args:
        path: the file.
        roots: folders in which imported modules are looked for, before the installed ones.

    Raises:
        ExperimentError: it cannot be read or parsed.
    """

    def __init__(self, path: Path, roots: Iterable[Path]) -> None:
        self.path, self.roots = path, tuple(roots)
        self._bound: dict[str, list[ast.stmt]] = {}
        self._always: list[ast.stmt] = []
        for statement in _parsed(path).body:
            names = list(_names_bound(statement))
            for name in names:
                self._bound.setdefault(name, []).append(statement)
            if not names:
                self._always.append(statement)

    def of(self, name: str) -> str:
        """Hash of what the function `name` depends on."""
        chosen: dict[int, ast.stmt] = {}
        waiting = [*self._always, *self._bound.get(name, [])]
        while waiting:
            statement = waiting.pop()
            if id(statement) in chosen:
                continue
            chosen[id(statement)] = statement
            used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            waiting += [below for other in sorted(used) for below in self._bound.get(other, [])]
        ordered = sorted(chosen.values(), key=lambda statement: statement.lineno)
        return digest(*map(_plain, ordered), *self._local(n for s in ordered for n in ast.walk(s)).values())

    @cached_property
    def own(self) -> str:
        """Hash of the file, and of those in its folder that it imports."""
        return digest(
            _plain(_parsed(self.path)), *(text for file, text in self._imports.items() if self._mine(file))
        )

    @cached_property
    def shared(self) -> str:
        """Hash of the files outside of its folder that it imports."""
        return digest(*(text for file, text in self._imports.items() if not self._mine(file)))

    @cached_property
    def _imports(self) -> dict[Path, str]:
        return self._local(ast.walk(_parsed(self.path)))

    def _mine(self, file: Path) -> bool:
        return file.is_relative_to(self.path.resolve().parent)

    def _local(self, nodes: Iterable[ast.AST]) -> dict[Path, str]:
        """The files beside that nodes import, and those that these import, with their texts."""
        files: dict[Path, str] = {}
        waiting = [file for node in nodes for file in _imported(node, self.roots)]
        while waiting:
            file = waiting.pop()
            if file not in files:
                module = _parsed(file)
                waiting += [
                    f for node in ast.walk(module) for f in _imported(node, (*self.roots, file.parent))
                ]
                files[file] = _plain(module)
        return dict(sorted(files.items()))


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise ExperimentError(f"{path}, line {error.lineno}: {error.msg}") from None


def _names_bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module defines; none: it counts always, as what changes an object does."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from _names_imported(statement)
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            yield ""  # a docstring: bound to no name that anything uses
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    yield node.name
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    yield from _names_imported(node)


def _names_imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The names that an import binds; none for a star, which may bind any."""
    yield from ((a.asname or a.name).split(".")[0] for a in node.names if a.name != "*")


def _imported(node: ast.AST, roots: Iterable[Path]) -> Iterator[Path]:
    """The local files that an import statement reads."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    elif isinstance(node, ast.ImportFrom):
        names = ["__init__", *(alias.name for alias in node.names)]
    else:
        return
    for name in names:
        parts = name.split(".")
        for root in roots:
            place = root.joinpath(*parts)
            packages = [root.joinpath(*parts[:depth]) / "__init__.py" for depth in range(1, len(parts) + 1)]
            for file in (place.with_suffix(".py"), *packages):
                if file.is_file():
                    yield file.resolve()


def _plain(node: ast.AST) -> str:
    """The text of a tree without docstrings, comments and layout."""
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(inner, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                inner.body = body[1:] or [ast.Pass()]
    return ast.unparse(node)


@cache
def engine() -> str:
    """Hash of hypergrad itself, and of the interpreter's version."""
    root = Path(__file__).resolve().parents[1]
    files = sorted(
        file
        for file in root.rglob("*.py")
        if file.relative_to(root).parts[0] not in (*_WITHOUT_EFFECT, "__pycache__")
    )
    texts = [f"{file.relative_to(root)}\n{file.read_text(encoding='utf-8')}" for file in files]
    return digest(platform.python_version(), *texts)


def versions(needs: Iterable[str]) -> dict[str, str]:
    """Versions of Python, hypergrad, NumPy, SciPy and of the distributions that provide the modules `needs`."""
    homes = metadata.packages_distributions()
    found = {"python": platform.python_version(), "hypergrad": metadata.version("hypergrad-toolkit")}
    for module in sorted({*_ALWAYS, *needs}):
        for home in homes.get(module, ()):
            found[home] = metadata.version(home)
    return found


def data_digest(folder: Path, patterns: Iterable[str]) -> str:
    """Hash of the data files of an experiment.

    Raises:
        ExperimentError: a pattern that no file fits.
    """
    parts = []
    for pattern in patterns:
        files = sorted(file for file in folder.glob(pattern) if file.is_file())
        if not files:
            raise ExperimentError(f"{folder / 'config.toml'}: data: no file fits {pattern!r} in {folder}")
        for file in files:
            parts += [str(file.relative_to(folder)), hashlib.sha256(file.read_bytes()).hexdigest()]
    return digest(*parts)
