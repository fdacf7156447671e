"""Trees of tensors: tuples, named tuples, lists and dictionaries, nested as deep as is needed."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import optree

Tree = TypeVar("Tree")

Structure = optree.PyTreeSpec
"""All of a tree but its leaves."""


def leaves_of(tree: Any) -> list[Any]:
    """Return the leaves of a tree.

    >>> leaves_of(((1, 2), [3]))
    [1, 2, 3]
    """
    return optree.tree_leaves(tree)


def structure_of(tree: Any) -> Structure:
    """Return the structure of a tree."""
    return optree.tree_structure(tree)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a tree, and its structure."""
    return optree.tree_flatten(tree)


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Return the tree of some leaves; the inverse of `flatten`."""
    return optree.tree_unflatten(structure, leaves)


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Return a tree of what the function returns for the leaves of one tree, or of several of one structure.

    >>> map_leaves(lambda one, other: one + other, ((1, 2), [3]), ((10, 20), [30]))
    ((11, 22), [33])
    """
    trees: tuple[Any, ...] = (tree, *others)
    mapped: Any = optree.tree_map(function, *trees)
    return mapped
