"""Which lines a breakdown has: module paths grouped by stage, by block, or not at all."""

from collections.abc import Iterable, Mapping
from typing import Literal

By = Literal["stage", "block", "module"]
Tree = dict[str, "Tree"]


def groups(paths: Iterable[str], by: By) -> tuple[str, ...]:
    """Return the paths of the lines, in the order of the network.

    A module whose children all have numbers for names and parts of their own is a container: its children
    stand in its place. `stage` is the top of the network with its containers opened, `block` opens one module
    further where that has a container inside, `module` is every path that was given.
    """
    known = list(dict.fromkeys(paths))
    if by == "module":
        return tuple(known)
    tree = grow(known)
    found = opened("", tree)
    if by == "block":
        found = [path for stage in found for path in inside(stage, at(tree, stage))]
    return tuple(found)


def assign(values: Mapping[str, int], lines: Iterable[str]) -> dict[str, int]:
    """Add up values by path on the line that is the path itself or its nearest parent; "" takes the rest."""
    sums = dict.fromkeys(lines, 0)
    for path, value in values.items():
        line = path
        while line not in sums and line:
            line = line.rpartition(".")[0]
        sums[line] = sums.get(line, 0) + value
    return sums


def grow(paths: Iterable[str]) -> Tree:
    """Turn dotted paths into a tree."""
    tree: Tree = {}
    for path in paths:
        node = tree
        for part in path.split(".") if path else ():
            node = node.setdefault(part, {})
    return tree


def at(tree: Tree, path: str) -> Tree:
    """Return the subtree at a path."""
    for part in path.split("."):
        tree = tree[part]
    return tree


def is_container(tree: Tree) -> bool:
    """Is this a list of composite modules?"""
    return bool(tree) and all(name.isdigit() for name in tree) and any(tree.values())


def opened(prefix: str, tree: Tree) -> list[str]:
    """Return the children's paths, those of a container in its place."""
    found = []
    for name, child in tree.items():
        path = f"{prefix}.{name}" if prefix else name
        found += [f"{path}.{number}" for number in child] if is_container(child) else [path]
    return found


def inside(path: str, tree: Tree) -> list[str]:
    """Return the block lines of a stage: its parts if there is a container among them, else itself."""
    if is_container(tree):
        return [f"{path}.{number}" for number in tree]
    return opened(path, tree) if any(map(is_container, tree.values())) else [path]
