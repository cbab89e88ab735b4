"""The shape of the house: layers, cycles, what `import hypergrad` loads, the public names."""

import graphlib
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

import hypergrad as hg

ROOT = Path(__file__).parent.parent
HEAVY = {"sklearn", "pandas", "scipy", "rich", "click", "pydantic", "sqlite3", "jax", "autograd", "torch"}


def test_a_module_imports_only_below_itself(capsys):
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_no_import_cycle():
    graph = grimp.build_graph("hypergrad", "hypergrad_cli", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    order = list(graphlib.TopologicalSorter(imports).static_order())
    assert len(order) == len(graph.modules)


def test_nothing_inside_the_package_imports_its_front_door():
    graph = grimp.build_graph("hypergrad", cache_dir=None)
    assert graph.find_modules_that_directly_import("hypergrad") == set()


def test_import_hypergrad_is_light():
    show = "import sys, hypergrad; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    fresh = subprocess.run(
        [sys.executable, "-c", show],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    loaded = set(fresh.stdout.split())
    assert "hypergrad" in loaded
    assert loaded & HEAVY == set()


def test_public_names_are_sorted_and_exist():
    assert hg.__all__ == sorted(hg.__all__)
    assert set(hg.__all__) <= set(dir(hg))


@pytest.mark.parametrize("name", hg.__all__)
def test_a_public_name_has_a_docstring(name):
    found = getattr(hg, name)
    if isinstance(found, str):  # __version__
        return
    text = inspect.getdoc(found)
    assert text, f"hypergrad.{name} has no docstring"
    assert len(text.split()) >= 3


def modules():
    """Every module of the package."""
    return [info.name for info in pkgutil.walk_packages(hg.__path__, "hypergrad.")]


@pytest.mark.parametrize("name", modules())
def test_a_module_says_what_it_is_and_its_public_names_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for public in getattr(module, "__all__", ()):
        found = getattr(module, public)
        if inspect.isfunction(found) or inspect.isclass(found):
            assert inspect.getdoc(found), f"{name}.{public} has no docstring"
