"""One word, one meaning: names of files, classes and functions."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from saevit.baselines.adapters import Adapter

ROOT = Path(__file__).parents[2]
FILES = [path for package in ("saevit", "saevit_cli") for path in sorted((ROOT / package).rglob("*.py"))]
SETS = ("commands", "views")  # folders whose files are named for the command or the view that they hold
VERBLESS = {"run", "found", "told", "shown", "notes", "place", "network", "whole"}
MOST_PARAMETERS = 8


def definitions(kind: type[ast.AST]) -> Iterator[tuple[str, str]]:
    """Yield the name and the file of each definition at the top of a module."""
    for path in FILES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, kind):
                yield node.name, str(path.relative_to(ROOT))  # type: ignore[attr-defined]


def test_a_file_name_is_unique() -> None:
    places = defaultdict(list)
    for path in FILES:
        if not path.name.startswith("__") and path.parent.name not in SETS:
            places[path.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_a_class_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for name, file in definitions(ast.ClassDef):
        places[name].append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_a_function_name_is_in_two_modules_at_most_and_has_a_verb() -> None:
    places = defaultdict(list)
    for name, file in definitions(ast.FunctionDef):
        places[name].append(file)
    assert {
        name: files for name, files in places.items() if len(files) > 2 and name not in vars(Adapter)
    } == {}
    assert places.keys() & VERBLESS == set()


def test_a_function_of_the_library_has_few_parameters() -> None:
    many = [
        f"{path.name}: {node.name}"
        for path in FILES
        if path.is_relative_to(ROOT / "saevit")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        and len(node.args.args) + len(node.args.kwonlyargs) > MOST_PARAMETERS
    ]
    assert many == []


def test_every_public_name_and_package_is_documented() -> None:
    bare = [
        f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}"
        for path in FILES
        for tree in [ast.parse(path.read_text("utf-8"))]
        for node in [tree, *tree.body]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and not getattr(node, "name", "").startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []
