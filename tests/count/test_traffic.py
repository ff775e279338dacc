"""Memory traffic in closed form: what layers are given and return, and the arithmetic between them."""

import torch
from hypothesis import given, settings
from torch import Tensor, nn

from saevit.count import analytic, traffic
from saevit.count.subject import variant_skeleton
from saevit.model.layers import ACT_LAYERS, Attend
from saevit.spec import VariantSpec
from tests.strategies import img_sizes, specs

LEAVES = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, Attend, *ACT_LAYERS.values())


def moved_by_layers(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Elements that the layers of the network read and write, weights and running statistics included."""
    model, total = variant_skeleton(spec), 0

    def count(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        held = [
            *module.parameters(),
            *(b for name, b in module.named_buffers() if name.startswith("running")),
        ]
        total += sum(tensor.numel() for tensor in (*args, out, *held))

    for module in model.modules():
        if isinstance(module, LEAVES):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.empty(1, spec.in_chans, *img_size, device="meta"))
    return total


def moved_between(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """The arithmetic that is no layer: additions, redistribution, what makes a token, pooling."""
    total = 0
    for stage, seen in zip(spec.stages, analytic.tokens(spec, img_size), strict=True):
        N, n, C, D = seen.pixels, seen.sampled, stage.dim, stage.hidden_dim
        for attends in stage.attends:
            total += (1 + attends) * 3 * C * N
            if spec.ffn == "ciffn":
                total += (D * N + 16 * N + D * N) + (D * N + D + D * N + D * N)
            if attends and stage.rate > 1:
                total += between_tokens(spec.sampling, C, N, n, n * stage.rate**2)
    return total + C * N + C


def between_tokens(sampling: str, C: int, N: int, n: int, filled: int) -> int:
    """Softmax, product and sum; mean, maximum, two products, two sums; a mean; nothing."""
    pool, scale = C * N + C * n, C * n + C + C * n
    adaptive = 2 * filled + (C * N + N + C * N) + pool
    mix = pool + scale + pool + scale + 3 * C * n + scale
    return {"adaptive": adaptive, "mix": mix, "average": pool, "stride": 0}[sampling]


@settings(max_examples=80, deadline=None)
@given(specs(), img_sizes())
def test_closed_form_is_what_moves(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    assert traffic.elements(spec, img_size) == moved_by_layers(spec, img_size) + moved_between(spec, img_size)


def test_a_network_moves_at_least_what_it_holds() -> None:
    ones = (1,) * 4
    spec = VariantSpec(
        dims=(8,) * 4, depths=ones, num_heads=ones, ratios=(2,) * 4, rates=ones, attn_blocks=ones
    )
    cost = analytic.total(spec, (64, 64))
    assert traffic.elements(spec, (64, 64)) > cost.params + cost.activations + cost.elementwise
