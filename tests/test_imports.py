"""Imports go one way (DESIGN §3), and heavy packages are imported where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "topoevo"

#: Below everything, free of everything.
FOUNDATION = {"errors", "registry", "seeds", "activations", "compilation", "disk", "foreign_files"}

#: What each package may import of topoevo besides itself and the foundation.
TABLE: dict[str, set[str]] = {
    "errors": set(),
    "registry": set(),
    "seeds": set(),
    "activations": set(),
    "compilation": set(),
    "disk": set(),
    "foreign_files": set(),
    "genome": set(),
    "variation": {"genome"},
    "network": {"genome"},
    "kernels": {"network"},
    "tasks": set(),
    "rollouts": {"network", "kernels", "tasks"},
    "gymnasium_api": {"tasks", "reporting.films"},
    "learning": {"network", "kernels", "tasks.base"},
    "evolution": {"genome", "variation"},
    "experiment": {"genome", "variation", "network", "kernels", "tasks", "rollouts", "learning", "evolution"},
    "reporting": {"genome", "evolution", "experiment", "tasks.environments"},
    "trained_network": {"network", "kernels", "tasks", "experiment", "reporting"},
    "commands": {"network", "tasks", "rollouts", "experiment", "reporting", "trained_network"},
    "cli": {"kernels", "experiment", "reporting", "commands"},
}

#: Packages that are slow to import or optional.
HEAVY = {
    "numba", "networkx", "tensorboardX", "matplotlib", "sklearn", "gymnasium", "onnx", "torch", "dask", "distributed",
    "ray", "scipy", "PIL", "tkinter", "cma",
}  # fmt: skip

#: Backends and compiled functions are themselves only imported when they are asked for.
HEAVY_AT_HOME = {
    f"{name}.py": {"numba"}
    for name in (
        "compilation",
        "genome/compiled_graph",
        "kernels/elementary",
        "kernels/lanes",
        "kernels/passes",
        "kernels/prefetch",
        "rollouts/double",
        "rollouts/plain_functions",
        "rollouts/simulating",
    )
} | {f"kernels/{name}.py": {"torch"} for name in ("torch_backend", "torch_circuit")}
HEAVY_AT_HOME |= {
    "experiment/workers/dask_engine.py": {"dask", "distributed"},
    "experiment/workers/ray_engine.py": {"ray"},
}
HEAVY_AT_HOME |= {name: {"gymnasium"} for name in ("gymnasium_api.py", "rollouts/gymnasium_lanes.py")}

FILES = sorted(ROOT.rglob("*.py"))


def imported(tree: ast.AST, *, inner: bool) -> set[str]:
    """Dotted names of the modules that a file imports; with `inner` also inside functions, never for typing alone."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inner:
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return names


def package_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def violations(package: str) -> list[str]:
    """Imports of a package that the table does not allow."""
    allowed = TABLE[package] | FOUNDATION | {package}
    found = []
    for file in FILES:
        if package_of(file) != package:
            continue
        for name in imported(ast.parse(file.read_text()), inner=True):
            if not name.startswith("topoevo.") or name == "topoevo.__version__":
                continue
            inside = name.removeprefix("topoevo.")
            if not any(inside == a or inside.startswith(f"{a}.") for a in allowed):
                found.append(f"{file.relative_to(ROOT)} imports {name}")
    return sorted(found)


def test_the_checker_sees_what_it_should() -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import topoevo.cli\n"
        "def f():\n    from topoevo.tasks import base\n"
        "class A:\n    import numba\n"
    )
    assert imported(ast.parse(source), inner=False) == {"typing", "typing.TYPE_CHECKING", "numba"}
    assert {"topoevo.tasks", "topoevo.tasks.base"} <= imported(ast.parse(source), inner=True)
    assert "topoevo.cli" not in imported(ast.parse(source), inner=True)


def test_every_file_is_in_the_table() -> None:
    assert {package_of(file) for file in FILES} - {"__init__", "__main__"} <= TABLE.keys()


@pytest.mark.parametrize("package", TABLE)
def test_imports_go_one_way(package: str) -> None:
    assert violations(package) == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_heavy_packages_are_imported_inside_functions(file: Path) -> None:
    top = {name.partition(".")[0] for name in imported(ast.parse(file.read_text()), inner=False)}
    assert top & HEAVY <= HEAVY_AT_HOME.get(str(file.relative_to(ROOT)), set())


def test_foundation_needs_only_numpy() -> None:
    for name in FOUNDATION:
        top = {n.partition(".")[0] for n in imported(ast.parse((ROOT / f"{name}.py").read_text()), inner=True)}
        # Compiling is the foundation of what is compiled, and imported where that is used.
        compiling = {"numba", "platformdirs"} if name == "compilation" else set()
        assert top <= set(sys.stdlib_module_names) | {"numpy", "topoevo"} | compiling


def test_importing_the_core_loads_nothing_heavy() -> None:
    code = (
        "import sys, topoevo.learning, topoevo.evolution, topoevo.variation, topoevo.tasks, topoevo.kernels\n"
        "import topoevo.rollouts\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
