"""A model's exact costs by module path: of a variant in closed form, of any other network by tracing it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from saevit.count.cost import (
    count_dense_attention,
    count_modules,
    count_peak,
    count_tokens,
    find_shapes,
)
from saevit.variant import VariantSpec

if TYPE_CHECKING:
    from torch import nn

    from saevit.count.tracing import Count

RECONSTRUCTION = (
    "our reconstruction of SAEViT from the abstract of arXiv 2508.16884, with random weights; "
    "the accuracies that the paper claims are not this model's"
)


@dataclass(frozen=True, kw_only=True)
class ModelCosts:
    """A model's exact costs for one image. Maps are by path of the module that does the work itself."""

    name: str
    statement: str
    counted_by: str
    in_chans: int
    paths: tuple[str, ...]  # of every module, in the order of the network
    params: Mapping[str, int]
    macs: Mapping[str, int]
    activations: Mapping[str, int]
    shapes: Mapping[str, tuple[int, int, int]]  # channels, height, width of what a module writes
    tokens: Mapping[str, int]  # n, for the modules inside which attention runs
    elementwise: int
    peak_elements: int
    attention_macs: int | None
    dense_attention_macs: int | None
    build: Callable[[], "nn.Module"]  # the network as defined, in eval mode
    folded: Callable[[], "nn.Module"] | None  # the same function for inference, if that is ours to fold
    skeleton: Callable[[], "nn.Module"]  # the network for counting; its weights may take no memory


def count_variant(spec: VariantSpec, img_size: tuple[int, int]) -> ModelCosts:
    """Count a variant in closed form; neither torch nor weights are needed."""
    costs = count_modules(spec, img_size)
    return ModelCosts(
        name=str(spec),
        statement=RECONSTRUCTION,
        counted_by="analytic",
        in_chans=spec.in_chans,
        paths=tuple(costs),
        params={path: cost.params for path, cost in costs.items() if cost.params},
        macs={path: cost.macs for path, cost in costs.items() if cost.macs},
        activations={path: cost.activations for path, cost in costs.items() if cost.activations},
        shapes=find_shapes(spec, img_size),
        tokens=count_attention_tokens(spec, img_size),
        elementwise=sum(cost.elementwise for cost in costs.values()),
        peak_elements=count_peak(spec, img_size),
        attention_macs=sum(cost.macs for path, cost in costs.items() if path.endswith(".attend")),
        dense_attention_macs=count_dense_attention(spec, img_size),
        build=cache(lambda: build_form(spec)),
        folded=cache(lambda: build_form(spec, folded=True)),
        skeleton=lambda: build_skeleton(spec),
    )


def count_attention_tokens(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, int]:
    """Return n for each stage, block and attention module that samples."""
    tokens: dict[str, int] = {}
    for i, (stage, size) in enumerate(zip(spec.stages, count_tokens(spec, img_size), strict=True)):
        blocks = [f"stages.{i}.blocks.{j}" for j, attends in enumerate(stage.attends) if attends]
        parts = [f"{path}.attn.{name}" for path in blocks for name in ("sample", "qkv", "attend", "proj")]
        tokens |= dict.fromkeys([*([f"stages.{i}"] if blocks else []), *blocks, *parts], size.sampled)
    return tokens


def build_form(spec: VariantSpec, *, folded: bool = False) -> "nn.Module":
    """Build a variant with its seeded random weights, as defined or folded."""
    from saevit.model.fold import fold
    from saevit.model.pyramid import build

    return fold(build(spec)) if folded else build(spec)


def build_skeleton(spec: VariantSpec) -> "nn.Module":
    """Build a variant without memory for its weights."""
    import torch

    from saevit.model.pyramid import SAEViT

    with torch.device("meta"):
        return SAEViT(spec).eval()


def count_traced(
    name: str, statement: str, model: "nn.Module", input_shape: tuple[int, int, int, int], count: "Count"
) -> ModelCosts:
    """Take the costs of any network from the torch counter's `count` of it for a (1, C, H, W) input."""
    from saevit.count.peak import trace_peak
    from saevit.count.tracing import trace_shapes

    params: Counter[str] = Counter()
    for path, parameter in model.named_parameters():
        params[path.rpartition(".")[0]] += parameter.numel()
    return ModelCosts(
        name=name,
        statement=statement,
        counted_by="torch",
        in_chans=input_shape[1],
        paths=tuple(path for path, _ in model.named_modules() if path),
        params=params,
        macs=count.macs,
        activations=count.activations or {},
        shapes=trace_shapes(model, input_shape),
        tokens={},
        elementwise=sum(count.apart.values()),
        peak_elements=trace_peak(model, input_shape).bytes // 4,
        attention_macs=None,
        dense_attention_macs=None,
        build=lambda: model,
        folded=None,
        skeleton=lambda: model,
    )
