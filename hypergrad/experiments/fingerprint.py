"""Content hashes of what a result depends on: code, versions and data.

Of a run.py only what a function uses counts: its own text and that of the definitions it names, followed through
the module. Of files beside it that are imported, and of hypergrad, all text counts. Comments, docstrings and layout
do not.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path

from hypergrad.errors import ExperimentError

__all__ = ["Source", "data_digest", "data_files", "digest", "engine", "stamps", "versions"]

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
        tree = _parsed(path)
        for statement in tree.body:
            for name in _names_bound(statement):
                self._bound.setdefault(name, []).append(statement)
        self._always += [statement for statement in tree.body if not self._only_binds(statement)]

    def of(self, name: str) -> str:
        """Hash of what the function `name` depends on; of a name that no statement shows to define, on everything."""
        chosen: dict[int, ast.stmt] = {}
        shown = self._bound.get(name) or [s for statements in self._bound.values() for s in statements]
        waiting = [*self._always, *shown]
        while waiting:
            statement = waiting.pop()
            if id(statement) in chosen:
                continue
            chosen[id(statement)] = statement
            used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            waiting += [below for other in sorted(used) for below in self._bound.get(other, [])]
        ordered = sorted(chosen.values(), key=lambda statement: statement.lineno)
        return digest(*map(_plain, ordered), *self._local(n for s in ordered for n in ast.walk(s)).values())

    def _only_binds(self, statement: ast.stmt) -> bool:
        """Whether a statement does no more than to define names; else it counts always, as what changes an object."""
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                used = [
                    n.id for d in statement.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)
                ]
                return not any(self._of_here(name) for name in used)  # it may put the function into a table
            case ast.Import() | ast.Pass() | ast.Expr(value=ast.Constant()):
                return True
            case ast.ImportFrom():
                return all(alias.name != "*" for alias in statement.names)
            case ast.Assign():
                return all(map(_is_name, statement.targets))
            case ast.AnnAssign() | ast.AugAssign():
                return _is_name(statement.target)
            case ast.If() | ast.Try():
                handlers = getattr(statement, "handlers", [])
                inner = [*statement.body, *statement.orelse, *getattr(statement, "finalbody", [])]
                return all(
                    map(self._only_binds, [*inner, *(s for handler in handlers for s in handler.body)])
                )
            case _:
                return False

    def _of_here(self, name: str) -> bool:
        """Whether a name is defined in this file, or in one beside it."""
        return any(
            not isinstance(s, ast.Import | ast.ImportFrom) or any(_imported(s, self.roots))
            for s in self._bound.get(name, [])
        )

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
    """The names that a statement of a module defines."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from _names_imported(statement)
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    yield node.name
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    yield from _names_imported(node)


def _names_imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The names that an import binds, but for a star, which may bind any."""
    yield from ((a.asname or a.name).split(".")[0] for a in node.names if a.name != "*")


def _is_name(target: ast.AST) -> bool:
    """Whether an assignment to it binds names and changes no object."""
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_name, target.elts))
    return isinstance(target, ast.Name) or (isinstance(target, ast.Starred) and _is_name(target.value))


def _imported(node: ast.AST, roots: Iterable[Path]) -> Iterator[Path]:
    """The local files that an import statement reads, or the call of an importer with the name as text."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    elif isinstance(node, ast.ImportFrom):
        names = ["__init__", *(alias.name for alias in node.names)]
    elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
        given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "name")]
        texts = [
            g.value.lstrip(".") for g in given if isinstance(g, ast.Constant) and isinstance(g.value, str)
        ]
        names = [text for text in texts if all(map(str.isidentifier, text.split(".")))]
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


def _called(node: ast.Call) -> str | None:
    """The last name of what is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", None))


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


@cache
def _providers() -> Mapping[str, list[str]]:
    """The distributions that provide each module; reading them takes a quarter of a second."""
    return metadata.packages_distributions()


def versions(needs: Iterable[str]) -> dict[str, str]:
    """Versions of Python, hypergrad, NumPy, SciPy and of the distributions that provide the modules `needs`."""
    found = {"python": platform.python_version(), "hypergrad": metadata.version("hypergrad-toolkit")}
    for module in sorted({*_ALWAYS, *(name.partition(".")[0] for name in needs)}):
        for home in _providers().get(module, ()):
            found[home] = metadata.version(home)
    return found


def data_files(folder: Path, patterns: Iterable[str], written: frozenset[str] = frozenset()) -> list[Path]:
    """The data files of an experiment.

    Args:
        folder: of the experiment.
        patterns: globs, relative to it.
        written: files and folders in it that are its results, so no data.

    Raises:
        ExperimentError: a pattern that no file fits, or none but results.
    """
    chosen, where = [], f"{folder / 'config.toml'}: data:"
    for pattern in patterns:
        try:
            found = sorted(file for file in folder.glob(pattern) if file.is_file())
        except (NotImplementedError, ValueError, IndexError):
            raise ExperimentError(f"{where} {pattern!r} is no file or glob relative to {folder}") from None
        files = [file for file in found if file.relative_to(folder).parts[0] not in written]
        if not files:
            raise ExperimentError(
                f"{where} {pattern!r} is what a run writes; rename the data, or the table or figure"
                if found
                else f"{where} no file fits {pattern!r} in {folder}"
            )
        chosen += files
    return chosen


def data_digest(folder: Path, files: Iterable[Path]) -> str:
    """Hash of data files, by their names in a folder; raises ExperimentError where one cannot be read."""
    parts = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ExperimentError(
                f"{folder / 'config.toml'}: data: {file} cannot be read: {error.strerror}"
            ) from None
        parts += [str(file.relative_to(folder)), hashlib.sha256(content).hexdigest()]
    return digest(*parts)


def stamps(files: Iterable[Path]) -> list[tuple[Path, int, int]]:
    """Sizes and times of files, which tell fast that none has changed; of one that is gone, its name alone."""
    found = []
    for file in files:
        try:
            known = file.stat()
        except OSError:
            found.append((file, -1, -1))
        else:
            found.append((file, known.st_size, known.st_mtime_ns))
    return found
