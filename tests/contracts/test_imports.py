"""Which module may know which, and what the command line may load before it has to."""

import ast
import re
import statistics
import subprocess
import sys
import time
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "timm", "birder", "torchvision", "matplotlib", "fvcore", "thop", "numpy")
LIGHT = ("saevit.variant", "saevit.count.ops", "saevit.count.cost")
ORDER = (  # a part imports only parts that come before it; docs/architecture.md has the same order
    *(
        "errors",
        "text",
        "notebook",
        "decode",
        "files",
        "images",
        "machine",
        "ray_cluster",
        "provenance",
        "weights",
        "weight_files",
        "checkpoint",
    ),
    *("variant", "model", "runs", "count", "baselines", "models", "loading", "export", "measure"),
    *("doctor", "profiling", "comparing", "explore", "attention", "train", "trials", "report"),
)


LATE = {"saevit.notebook": "saevit.report.notebook_view"}  # imported when a notebook shows a result


def part_of(name: str) -> str:
    """`saevit.count.ops` belongs to `count`."""
    return name.split(".")[1]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, but for the one in `LATE`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {node.module} if node.module != "saevit" else {f"saevit.{alias.name}" for alias in node.names}
            )
    return found - {LATE.get(module_of(path))}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "saevit").rglob("*.py")) if path.name != "__main__.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(ROOT / "saevit").parts[0].removesuffix(".py")
    parts = {part_of(name) for name in imports(path) if name.startswith("saevit.") and "." in name}
    earlier = ORDER if own == "__init__" else ORDER[: ORDER.index(own)]
    assert parts - {own, "__version__", "NETWORK"} <= set(earlier)
    assert not any(name.startswith("saevit_cli") for name in imports(path))


def test_every_part_has_its_place() -> None:
    parts = {p.name.removesuffix(".py") for p in (ROOT / "saevit").iterdir() if p.suffix in ("", ".py")}
    assert {part for part in parts if not part.startswith("__")} == set(ORDER)
    table = (
        (ROOT / "docs/architecture.md")
        .read_text("utf-8")
        .partition("## Map of the code")[2]
        .partition("\n#")[0]
    )
    assert tuple(re.findall(r"`saevit/(\w+)(?:\.py|/)`", table)) == ORDER


def test_no_modules_import_each_other() -> None:
    """Imports inside functions and for types count too."""
    graph = {}
    for package in ("saevit", "saevit_cli"):
        for path in (ROOT / package).rglob("*.py"):
            graph[module_of(path)] = (imports(path) | members_of(path)) - {LATE.get(module_of(path))}
    for name in graph:
        graph[name] &= graph.keys() - {name, "saevit"}
    TopologicalSorter(graph).prepare()  # raises CycleError with the modules of a cycle


def module_of(path: Path) -> str:
    """Return the dotted name of a file's module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def members_of(path: Path) -> set[str]:
    """Return the dotted names that `from package import module` could mean."""
    nodes = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    return {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after running code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return {line.partition(".")[0] for line in done.stderr.splitlines()}


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules(module: str) -> None:
    assert loaded_by(f"import {module}").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["profile", "--help"],
        ["--version"],
        ["list"],
        ["results", "--help"],
        ["visualize-attention", "--help"],
        ["visualize-attention", "saevit_tny"],
        ["results", "list"],
        ["explore", "--help"],
        ["train", "--help"],
        ["train", "--show-recipe"],
        ["eval", "--help"],
        ["eval", "--data", "digits"],
        ["export", "--help"],
        ["export", "saevit_tny"],
        ["explore", "saevit_tny"],
        ["profile", "saevit_tiny", "--no-measure", "--counters", "analytic"],
        ["profile", "saevit_tny"],
    ],
    ids=" ".join,
)
def test_the_command_line_loads_torch_only_when_it_needs_it(arguments: list[str]) -> None:
    assert loaded_by(f"from saevit_cli.app import run_command\nrun_command({arguments!r})").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "more",
    [
        ["--dims1", "24:64:8", "--depth", "0.5,1"],
        ["--solve", "width", "--target-gmacs", "0.8"],
        ["--sensitivity"],
    ],
    ids=" ".join,
)
def test_explore_never_loads_torch(more: list[str]) -> None:
    arguments = ["explore", "--json", "-", *more]
    loaded = loaded_by(f"from saevit_cli.app import run_command\nassert run_command({arguments!r}) == 0")
    assert loaded.isdisjoint({"torch", "timm", "matplotlib", "fvcore", "thop"})


def test_help_is_quick() -> None:
    """Within 2.5 times of importing Typer and Rich; pairs taken in turn, so that load hits both."""
    commands = {"help": ["-m", "saevit_cli", "--help"], "floor": ["-c", "import typer, rich"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(7):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, cwd=ROOT, check=True)
            seconds[name].append(time.perf_counter() - start)
    ratios = [h / f for h, f in zip(seconds["help"], seconds["floor"], strict=True)]
    assert statistics.median(ratios) < 2.5
