"""Networks for tests: small ones, and weights that look trained."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saevit.model.ciffn import Redistribute
from saevit.model.pyramid import SAEViT
from saevit.model.saa import MixSampler
from saevit.variant import KEYS, VariantSpec, parse

# Every key that a preset could change is given. Channels stand on both sides of `MIN_CHANNELS`.
SMALL = parse(
    "saevit_tiny:dims=8-16-24-32,heads=1-2-3-4,depths=1-2-3-2,ratios=3,rates=4-3-2-1,attn_blocks=1-1-2-1,"
    "stem=16,key_dim=8,classes=10"
)
SHALLOW = replace(SMALL, depths=(1, 1, 1, 1))
SWITCHES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "dense": {"attention": "dense"},
    "no attention": {"attention": "none"},
    "mix": {"sampling": "mix"},
    "average": {"sampling": "average"},
    "stride": {"sampling": "stride"},
    "mlp": {"ffn": "mlp"},
    "no local": {"local": "none"},
    "mlp, no local": {"ffn": "mlp", "local": "none"},
    "kernel 5": {"kernel": 5},
    **{act: {"act": act} for act in KEYS["act"].choices[1:]},
    "no classes": {"num_classes": 0},
    "grey": {"in_chans": 1},
}


def trained(spec: VariantSpec, seed: int = 0, decades: float = 0.5) -> SAEViT:
    """A network in eval mode that looks trained: no weight is special, and scales differ between channels.

    What BatchNorm sees spans `decades` orders of magnitude, its variances twice that; its statistics are off
    by up to a factor of 2. Weights, biases, BN scales and gamma have both signs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SAEViT(spec).train()
        for module in net.modules():
            randomise(module, decades)
        with torch.no_grad():
            net(noise(4, spec.in_chans, 64, 64))  # sets the statistics
        for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.running_mean += torch.randn_like(norm.running_mean) * norm.running_var.sqrt() / 4
            norm.running_var *= 2 ** torch.empty_like(norm.running_var).uniform_(-1, 1)
        return net.eval()


@torch.no_grad()
def randomise(module: nn.Module, decades: float) -> None:
    """Draw one layer's weights."""
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.2, 1.5)
        module.weight *= torch.randn_like(module.weight).sign()
        nn.init.normal_(module.bias, std=0.5)
        module.momentum = None  # the statistics of one batch, not a share of them
    elif isinstance(module, nn.Conv2d | nn.Linear):
        spread = 10 ** torch.empty(len(module.weight)).uniform_(-decades / 2, decades / 2)
        nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        module.weight *= (spread / 2).reshape(-1, *[1] * (module.weight.ndim - 1))
        if module.bias is not None:
            nn.init.normal_(module.bias, std=0.3)
    elif isinstance(module, Redistribute):
        nn.init.normal_(module.gamma, std=0.5)
    elif isinstance(module, MixSampler):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.7)


def noise(*shape: int) -> Tensor:
    """The same numbers on every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def error(y: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected."""
    y, expected = y.double().cpu(), expected.double().cpu()
    return ((y - expected).norm() / expected.norm()).item()
