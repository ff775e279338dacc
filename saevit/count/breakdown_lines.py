"""Which lines a breakdown has: module paths grouped by stage, by block, or not at all."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Literal

By = Literal["stage", "block", "module", "op"]  # op: kinds of operators, beside stages


def group_modules(paths: Iterable[str], by: By) -> tuple[str, ...]:
    """Return the paths of the lines, in the order of the network.

    A module whose children all have numbers for names and parts of their own is a container: its children
    replace it. `stage` is the top of the network with its containers opened, `block` opens one module further
    where that has a container inside, `module` is every path that was given.
    """
    known = tuple(dict.fromkeys(paths))
    if by == "module":
        return known
    stages = open_containers("", known)
    if by != "block":
        return tuple(stages)
    return tuple(line for stage in stages for line in open_stage(stage, known))


def open_stage(stage: str, paths: Sequence[str]) -> list[str]:
    """Return the block lines of a stage: its parts if there is a container among them, else itself."""
    if is_container(stage, paths):
        return list_children(stage, paths)
    has_blocks = any(is_container(child, paths) for child in list_children(stage, paths))
    return open_containers(stage, paths) if has_blocks else [stage]


def open_containers(parent: str, paths: Sequence[str]) -> list[str]:
    """Return the children of a module, those of a container in its place."""
    opened = []
    for child in list_children(parent, paths):
        opened += list_children(child, paths) if is_container(child, paths) else [child]
    return opened


def is_container(path: str, paths: Sequence[str]) -> bool:
    """Return whether a module is a list of composite modules."""
    children = list_children(path, paths)
    numbered = all(child.rpartition(".")[2].isdigit() for child in children)
    return numbered and any(list_children(child, paths) for child in children)


def list_children(parent: str, paths: Sequence[str]) -> list[str]:
    """Return the paths of a module's children, in order."""
    prefix = f"{parent}." if parent else ""
    names = (path.removeprefix(prefix).partition(".")[0] for path in paths if path.startswith(prefix))
    return list(dict.fromkeys(prefix + name for name in names if name))


def assign_values(values: Mapping[str, int], lines: Iterable[str]) -> dict[str, int]:
    """Add up values by path on the line that is the path itself or its nearest parent; "" takes the rest."""
    sums = dict.fromkeys(lines, 0)
    for path, value in values.items():
        line = find_line(path, sums)
        sums[line] = sums.get(line, 0) + value
    return sums


def find_line(path: str, lines: Container[str]) -> str:
    """Return the line that is the path itself or its nearest parent; "" where there is none."""
    while path not in lines and path:
        path = path.rpartition(".")[0]
    return path


def name_line(path: str, by: By) -> str:
    """Return what a reader sees for the path of a line: stages and blocks count from 1, "" is the rest.

    A breakdown by module shows every path unchanged.
    """
    if not path:
        return "(elsewhere)"
    found = None if by == "module" else re.fullmatch(r"stages\.(\d+)(?:\.(?:blocks\.)?(\d+)|\.(\w+))?", path)
    if not found:
        return path
    stage, block, part = found.groups()
    inside = f", block {int(block) + 1}" if block else f", {part}" if part else ""
    return f"stage {int(stage) + 1}{inside}"
