"""Counter 4: thop, which hooks modules and counts by their types."""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from saevit.count.tracing import (
    Count,
    Place,
    Shape,
    copy_placed,
    count_without_data,
    find_dtype,
    itemise,
    keep_shape,
    need_quietly,
    read_whole_number,
    run_eagerly,
)
from saevit.errors import name_and_line
from saevit.model.layers import Attend

Rule = Callable[[nn.Module, tuple[Tensor, ...], Any], None]  # adds a call's MACs to module.total_ops

# Modules that hold a matrix and contract nothing with it.
NO_CONTRACTION = (nn.Embedding, nn.LayerNorm, nn.RMSNorm)


def count_thop(model: nn.Module, input_shape: Shape) -> Count:
    """Count one eval forward pass of a (B, C, H, W) input with thop. The model is not touched.

    thop sees calls of modules only: work done by functions, such as attention in most libraries, is missing
    from the total. `receipt.explain_unseen` finds it by comparison with the torch counter.

    Raises:
        MissingPackageError: thop is absent.
    """
    return count_without_data(partial(run_thop, model, input_shape), keep_shape("meta"))


def run_thop(model: nn.Module, input_shape: Shape, place: Place, notes: tuple[str, ...]) -> Count:
    """Count on copies of a model whose tensors are placed by `place`."""
    hooked, plain = copy_placed(model, place), copy_placed(model, place)
    x = torch.zeros(input_shape, dtype=find_dtype(model), device=place(torch.empty(0)).device)
    with run_eagerly(), keep_root_logger():
        macs, uncounted = apply_rules(hooked, x)
        box, failures = run_unaided(plain, x)
    return Count(
        counter="thop",
        macs=macs,
        out_of_box=None if failures else sum(box.values()),
        reasons=() if failures else itemise(explain_differences(plain, box, macs)),
        uncounted=uncounted,
        notes=notes + failures,
    )


def apply_rules(model: nn.Module, x: Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """Run a model with a rule at each module; return MACs by path, and calls without a rule by type.

    thop's own sum counts a shared module again for each of its paths; here it has its first path.
    """
    basic = need_quietly("thop.vision.basic_hooks")
    macs: Counter[str] = Counter()
    uncounted: Counter[str] = Counter()

    def count_call(path: str, rule: Rule, module: nn.Module, inputs: tuple[Tensor, ...], y: Any) -> None:
        module.total_ops = torch.zeros(1, dtype=torch.float64)
        rule(module, inputs, y)
        macs[path] += read_whole_number(module.total_ops.item(), "thop")

    def count_unknown(module: nn.Module, *_: object) -> None:
        uncounted[type(module).__name__] += 1

    for path, module in model.named_modules():
        if rule := find_rule(module, basic):
            module.register_forward_hook(partial(count_call, path, rule))
        elif may_hide_work(module):
            module.register_forward_hook(count_unknown)
    model(x)
    return {path: n for path, n in macs.items() if n}, dict(uncounted)


def find_rule(module: nn.Module, basic: Any) -> Rule | None:
    """Return our rule, or thop's where it is right, for a module that contracts (subclasses included)."""
    if isinstance(module, Attend):
        return count_attend
    if isinstance(module, _ConvTransposeNd):
        return count_transposed
    if isinstance(module, _ConvNd):
        return basic.count_convNd
    return basic.count_linear if isinstance(module, nn.Linear) else None


def count_attend(module: Any, qkv: tuple[Tensor, ...], y: Tensor) -> None:
    """Count softmax(q k^T) v: (B, heads, n, d), (B, heads, m, d), (B, heads, m, e)."""
    q, k, v = qkv
    module.total_ops += prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])


def count_transposed(module: Any, inputs: tuple[Tensor, ...], y: Tensor) -> None:
    """Count a transposed convolution, which meets its kernel once at each *input* position."""
    module.total_ops += inputs[0].numel() * module.out_channels // module.groups * prod(module.kernel_size)


def may_hide_work(module: nn.Module) -> bool:
    """Return whether a module without a rule has a matrix of its own to multiply with."""
    if isinstance(module, NO_CONTRACTION):
        return False
    is_one_layer = type(module).__module__.startswith("torch.nn.") or not any(module.children())
    matrices = [p for p in module.parameters(recurse=False) if sum(n > 1 for n in p.shape) > 1]
    return is_one_layer and bool(matrices)


@contextmanager
def keep_root_logger() -> Iterator[None]:
    """Keep thop's remarks, made by `logging.warning`, from giving the process a handler that prints them."""
    handler, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def run_unaided(model: nn.Module, x: Tensor) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the MACs that thop without our rules counts, under every path of a module, or its error."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This API is being deprecated")  # thop warns of itself
            total, _, layers = need_quietly("thop").profile(model, (x,), verbose=False, ret_layer_info=True)
    except Exception as error:  # a user of thop would meet it too, so it is a finding
        return {}, (f"thop as it comes fails ({name_and_line(error)})",)
    return flatten_layers("", total, layers), ()


def flatten_layers(path: str, total: float, layers: dict[str, Any]) -> dict[str, int]:
    """Flatten thop's nested layer counts, and take its children's out of each module's."""
    own = read_whole_number(total, "thop") - sum(read_whole_number(n, "thop") for n, _, _ in layers.values())
    counts = {path: own}
    for name, (ops, _, below) in layers.items():
        counts |= flatten_layers(f"{path}.{name}" if path else name, ops, below)
    return counts


def explain_differences(model: nn.Module, box: dict[str, int], macs: dict[str, int]) -> dict[str, int]:
    """Return for each type of module how thop without our rules differs from our count, in MACs."""
    first_path = {module: path for path, module in model.named_modules()}
    every_path = list(model.named_modules(remove_duplicate=False))
    times = Counter(module for path, module in every_path if path in box)
    differences: Counter[str] = Counter()
    for path, module in every_path:
        own, counted = macs.get(first_path[module], 0), box.get(path, 0)
        verdict = judge_module(module, own, counted, is_shared=times[module] > 1)
        differences[f"{type(module).__name__} {verdict}"] += counted - own * (path == first_path[module])
    return dict(differences)


def judge_module(module: nn.Module, own: int, counted: int, *, is_shared: bool) -> str:
    """Return what thop without our rules did with a module."""
    if not own:
        return "is counted, but contracts nothing"
    if not counted:
        return "has no rule, so it is not seen"
    if is_shared:
        return "is shared, and counted again for each of its paths"
    if isinstance(module, _ConvTransposeNd):
        return "is counted at every output position, not at every input position"
    return "is miscounted"
