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
    describe_failure,
    find_dtype,
    itemise,
    keep_shape,
    need_quietly,
    run_eagerly,
)
from saevit.model.layers import Attend

Rule = Callable[[nn.Module, tuple[Tensor, ...], Any], None]  # adds a call's MACs to module.total_ops

# Modules that hold a matrix and contract nothing with it.
NO_CONTRACTION = (nn.Embedding, nn.LayerNorm, nn.RMSNorm)


def attend_rule(module: nn.Module, qkv: tuple[Tensor, ...], y: Tensor) -> None:
    """softmax(q k^T) v: (B, heads, n, d), (B, heads, m, d), (B, heads, m, e)."""
    q, k, v = qkv
    add_macs(module, prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1]))


def transposed_rule(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
    """A transposed convolution meets its kernel once at each *input* position."""
    assert isinstance(module, _ConvTransposeNd)
    add_macs(module, inputs[0].numel() * module.out_channels // module.groups * prod(module.kernel_size))


def add_macs(module: nn.Module, macs: int) -> None:
    """Enter MACs the way thop's own rules do."""
    total_ops = module.get_buffer("total_ops")
    total_ops += macs


def find_rule(module: nn.Module, basic: Any) -> Rule | None:
    """Return our rule, or thop's where it is right, for a module that contracts (subclasses included)."""
    if isinstance(module, Attend):
        return attend_rule
    if isinstance(module, _ConvTransposeNd):
        return transposed_rule
    if isinstance(module, _ConvNd):
        return basic.count_convNd
    return basic.count_linear if isinstance(module, nn.Linear) else None


def may_hide_work(module: nn.Module) -> bool:
    """Tell whether a module without a rule has a matrix of its own to multiply with."""
    if isinstance(module, NO_CONTRACTION):
        return False
    is_one_layer = type(module).__module__.startswith("torch.nn.") or not any(module.children())
    matrices = [p for p in module.parameters(recurse=False) if sum(n > 1 for n in p.shape) > 1]
    return is_one_layer and bool(matrices)


class Rules:
    """Rules for one thop run that book each module's MACs by path, whatever thop itself adds up later."""

    def __init__(self, model: nn.Module, basic: Any) -> None:
        self.paths = {module: path for path, module in model.named_modules()}
        self.times = Counter(visit_modules(model))  # hooked as often as met, so each call is booked as often
        self.basic = basic
        self.ops: Counter[nn.Module] = Counter()
        self.calls: Counter[nn.Module] = Counter()  # of modules without a rule

    def make_all(self) -> dict[type[nn.Module], Rule]:
        """Return a rule for each type that contracts or may."""
        found: dict[type[nn.Module], Rule] = {}
        for module in self.paths:
            rule = find_rule(module, self.basic)
            if rule or may_hide_work(module):
                found[type(module)] = self.watched(rule) if rule else self.tell
        return found

    def watched(self, rule: Rule) -> Rule:
        def watch(module: nn.Module, inputs: tuple[Tensor, ...], y: Any) -> None:
            before = read_whole_number(module.get_buffer("total_ops").item())
            rule(module, inputs, y)
            self.ops[module] += read_whole_number(module.get_buffer("total_ops").item()) - before

        return watch

    def tell(self, module: nn.Module, inputs: tuple[Tensor, ...], y: Any) -> None:
        self.calls[module] += may_hide_work(module)

    def macs(self) -> dict[str, int]:
        """Return the MACs by path, without zeros."""
        return {self.paths[m]: n // self.times[m] for m, n in self.ops.items() if n}

    def uncounted(self) -> dict[str, int]:
        """Return the calls of modules without a rule, by type."""
        found: Counter[str] = Counter()
        for module, n in self.calls.items():
            found[type(module).__name__] += n // self.times[module]
        return {name: n for name, n in found.items() if n}


def read_whole_number(number: float) -> int:
    """Read one of thop's floats as the whole number it must be."""
    assert number == int(number), f"thop counts {number}, which is no whole number of MACs"
    return int(number)


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
    thop = need_quietly("thop")
    hooked, plain = copy_placed(model, place), copy_placed(model, place)
    device = place(torch.empty(0)).device
    x = torch.zeros(input_shape, dtype=find_dtype(model), device=device)
    rules = Rules(hooked, need_quietly("thop.vision.basic_hooks"))
    with run_eagerly(), keep_root_logger():
        thop.profile(hooked, (x,), custom_ops=rules.make_all(), verbose=False)
        box, failures = run_unaided(thop, plain, x)
    macs = rules.macs()
    return Count(
        counter="thop",
        macs=macs,
        out_of_box=None if failures else sum(box.values()),
        reasons=() if failures else itemise(explain_differences(plain, box, macs)),
        uncounted=rules.uncounted(),
        notes=notes + failures,
    )


@contextmanager
def keep_root_logger() -> Iterator[None]:
    """Keep thop's remarks, made by `logging.warning`, from giving the process a handler that prints them."""
    handler, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def run_unaided(thop: Any, model: nn.Module, x: Tensor) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return what thop unaided counts by path, a shared module under each of its own, or why it fails."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This API is being deprecated")  # thop warns of itself
            total, _, layers = thop.profile(model, (x,), verbose=False, ret_layer_info=True)
    except Exception as error:  # a user of thop would meet it too, so it is a finding
        return {}, (f"thop as it comes fails ({describe_failure(error)})",)
    return flatten_layers("", total, layers), ()


def flatten_layers(path: str, total: float, layers: dict[str, Any]) -> dict[str, int]:
    """Flatten thop's nested layer counts, and take its children's out of each module's."""
    found = {path: read_whole_number(total) - sum(read_whole_number(ops) for ops, _, _ in layers.values())}
    for name, (ops, _, below) in layers.items():
        found |= flatten_layers(f"{path}.{name}" if path else name, ops, below)
    return found


def explain_differences(model: nn.Module, box: dict[str, int], macs: dict[str, int]) -> dict[str, int]:
    """Say for each type of module how thop as it comes differs from our count, in MACs."""
    first_path = {module: path for path, module in model.named_modules()}
    times = Counter(visit_modules(model))
    found: Counter[str] = Counter()
    for path, module in model.named_modules(remove_duplicate=False):
        own, counted = macs.get(first_path[module], 0), box.get(path, 0)
        text = f"{type(module).__name__} {judge_module(module, own, counted, is_shared=times[module] > 1)}"
        found[text] += counted - (own if path == first_path[module] else 0)
    return dict(found)


def judge_module(module: nn.Module, own: int, counted: int, *, is_shared: bool) -> str:
    """Say what thop as it comes did with a module."""
    if not own:
        return "is counted, but contracts nothing"
    if not counted:
        return "has no rule, so it is not seen"
    if is_shared:
        return "is shared, and counted again for each of its paths"
    if isinstance(module, _ConvTransposeNd):
        return "is counted at every output position, not at every input position"
    return "is miscounted"


def visit_modules(module: nn.Module) -> Iterator[nn.Module]:
    """Yield modules as thop meets them: one with several parents comes once for each."""
    yield module
    for child in module.children():
        yield from visit_modules(child)
