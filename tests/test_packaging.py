"""What is installed: the packages, their data files, the command, the version."""

import ast
import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import hypergrad

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def folders(top):
    """Dotted names of the packages under `top`: every folder with an ``__init__.py``."""
    return {".".join(init.parent.relative_to(ROOT).parts) for init in (ROOT / top).rglob("__init__.py")}


def test_the_list_of_packages_is_what_lies_on_disk():
    commands = {name.replace("cli", "hypergrad_cli", 1) for name in folders("cli")}
    assert set(SETUPTOOLS["packages"]) == folders("hypergrad") | commands
    assert SETUPTOOLS["packages"] == sorted(SETUPTOOLS["packages"])


def test_every_folder_of_python_files_is_a_package():
    for top in ("hypergrad", "cli"):
        for file in (ROOT / top).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), f"{file.parent} has no __init__.py"


def test_the_command_line_lives_in_cli_and_takes_no_global_name():
    assert SETUPTOOLS["package-dir"]["hypergrad_cli"] == "cli"
    assert "cli" not in SETUPTOOLS["packages"]
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="hypergrad")
    assert entry.value == "hypergrad_cli:main"
    assert callable(entry.load())


@pytest.mark.parametrize("file", sorted((ROOT / "cli").rglob("*.py")), ids=lambda file: file.name)
def test_cli_imports_itself_relatively(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        assert not {name.split(".")[0] for name in names} & {"cli", "hypergrad_cli"}


def test_the_version_is_one():
    version = hypergrad.__version__
    assert importlib.metadata.version("hypergrad-toolkit") == version
    repeats = [
        file
        for top in ("hypergrad", "cli")
        for file in (ROOT / top).rglob("*.py")
        if f'"{version}"' in file.read_text(encoding="utf-8")
    ]
    assert repeats == [ROOT / "hypergrad" / "__init__.py"]
    assert "version" not in PROJECT["project"]


def test_the_licence_is_shipped():
    assert PROJECT["project"]["license"] == "BSD-3-Clause"
    assert "The hypergrad authors" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names of the files in a wheel built from a copy of the tree."""
    place = tmp_path_factory.mktemp("wheel")
    tree = place / "tree"
    for top in ("hypergrad", "cli"):
        shutil.copytree(ROOT / top, tree / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(place)!r})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (file,) = place.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module_and_data_file(wheel):
    on_disk = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "hypergrad").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    commands = {f"hypergrad_cli/{file.relative_to(ROOT / 'cli')}" for file in (ROOT / "cli").rglob("*.py")}
    assert on_disk | commands <= wheel
    assert {"hypergrad/py.typed", "hypergrad/study/schema.sql", "hypergrad/study/upgrade2.sql"} <= wheel


def test_the_wheel_holds_nothing_else(wheel):
    assert {name.split("/")[0] for name in wheel} == {
        "hypergrad",
        "hypergrad_cli",
        f"hypergrad_toolkit-{hypergrad.__version__}.dist-info",
    }
