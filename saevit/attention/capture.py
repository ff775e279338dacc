"""Attention of a SAEViT as it runs, recorded through hooks; the network is left as it was.

The defined form is captured (`saevit.model.pyramid.build`): the folded one has no such modules to hook.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from saevit.attention.layer import Layer, Products
from saevit.attention.selection import Place, select, with_heads
from saevit.model.pyramid import SAEViT
from saevit.model.saa import SAA, AdaptiveSampler, MixSampler, Sampler, StrideSampler, spread, window_softmax
from saevit.variant import STRIDES


@dataclass(kw_only=True)
class Seen:
    """What the hooks of one attention module have seen in the last pass."""

    map: tuple[int, int] | None = None
    weights: Tensor | None = None  # (B, 1, H, W); None: every pixel is a token
    q: Tensor | None = None  # (B, heads, n, e)
    k: Tensor | None = None
    normed: Tensor | None = None  # (B, C, H, W)


@dataclass(kw_only=True)
class Recording:
    """The last pass through a network; every pass replaces the one before.

    `inputs` has the input of each recorded stage, by the stage's number: (B, C, H, W).
    """

    model: SAEViT
    seen: dict[Place, Seen] = field(default_factory=dict)
    inputs: dict[int, Tensor] = field(default_factory=dict)
    heads: Collection[int] | None = None

    def layers(self, image: int = 0) -> list[Layer]:
        """Return the recorded blocks for one image of the batch, from the first to the last."""
        found = (layer_of(self.model, place, seen, image) for place, seen in self.seen.items())
        return [with_heads(layer, self.heads) for layer in found]


@contextmanager
def capture(
    model: SAEViT,
    *,
    stages: Collection[int] | None = None,
    blocks: Collection[int] | None = None,
    heads: Collection[int] | None = None,
    inputs: bool = False,
    normed: bool = False,
) -> Iterator[Recording]:
    """Record the attention of every pass inside the context, and take all hooks away at its end.

    The network's outputs are those that it gives without. Its mode is not touched: use it in eval mode.

    Args:
        model: the defined form, not the folded one.
        stages, blocks, heads: which to record, counted from 1; None is all. Blocks count in their stage,
            those without attention too.
        inputs: also keep the input of each recorded stage.
        normed: also keep what attention would see of every pixel, to compute dense attention from.

    Raises:
        OptionError: nothing carries attention there; names what does.
    """
    places = select(attention_places(model), stages, blocks, heads)
    recording = Recording(model=model, seen={place: Seen() for place in places}, heads=heads)
    handles: list[RemovableHandle] = []
    try:
        for place, seen in recording.seen.items():
            handles += hooks(attention_at(model, place), seen, normed=normed)
        for stage in {stage for stage, _ in places} if inputs else ():
            first = model.get_submodule(f"stages.{stage - 1}.blocks.0")
            handles.append(keep_input(first, stage, recording.inputs))
        yield recording
    finally:
        for handle in handles:
            handle.remove()


def hooks(attention: SAA, seen: Seen, *, normed: bool) -> list[RemovableHandle]:
    """Record copies: a network may write over what it has used."""
    sampler = attention.sample

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen.map = tuple(args[0].shape[2:])  # type: ignore[assignment]

    def score(_module: nn.Module, _args: Any, output: Tensor) -> None:
        assert isinstance(sampler, Sampler)
        seen.weights = window_softmax(output.detach(), sampler.rate).float()

    def sample(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(sampler, Sampler)
        seen.weights = pixel_weights(sampler, args[0].detach())

    def attend(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen.q, seen.k = args[0].detach().clone(), args[1].detach().clone()

    def norm(_module: nn.Module, _args: Any, output: Tensor) -> None:
        seen.normed = output.detach().clone()

    handles = [attention.register_forward_pre_hook(enter), attention.attend.register_forward_pre_hook(attend)]
    if isinstance(sampler, AdaptiveSampler):
        handles.append(sampler.score.register_forward_hook(score))
    elif isinstance(sampler, Sampler):
        handles.append(sampler.register_forward_pre_hook(sample))
    return [*handles, attention.norm.register_forward_hook(norm)] if normed else handles


def keep_input(block: nn.Module, stage: int, inputs: dict[int, Tensor]) -> RemovableHandle:
    """Record the input of a stage's first block."""

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs[stage] = args[0].detach().clone()

    return block.register_forward_pre_hook(enter)


def layer_of(model: SAEViT, place: Place, seen: Seen, image: int) -> Layer:
    """Put together what was recorded of one block for one image."""
    assert seen.map is not None, "no pass has run inside the context"
    assert seen.q is not None
    assert seen.k is not None
    stage, block = place
    H, W = seen.map
    spec = model.spec.stages[stage - 1]
    token = window_of_pixels(H, W, spec.rate)
    stride = float(STRIDES[stage - 1])
    return Layer(
        stage=stage,
        block=block,
        path=path_of(place),
        heads=tuple(range(1, seen.q.shape[1] + 1)),
        height=H,
        width=W,
        stride=(stride, stride),
        rate=spec.rate,
        sampling=model.spec.sampling if spec.rate > 1 else "none",
        scores=Products(
            q=seen.q[image : image + 1], k=seen.k[image : image + 1], scale=seen.q.shape[3] ** -0.5
        ),
        row=token,
        column=token,
        weights=torch.ones(H * W) if seen.weights is None else seen.weights[image].flatten(),
        normed=None if seen.normed is None else seen.normed[image],
    )


def window_of_pixels(height: int, width: int, rate: int) -> Tensor:
    """Return the number of each pixel's window, row by row. (N,)."""
    across = -(-width // rate)
    rows, columns = torch.arange(height) // rate, torch.arange(width) // rate
    return (rows[:, None] * across + columns).flatten()


@torch.no_grad()
def pixel_weights(sampler: Sampler, x: Tensor) -> Tensor:
    """Return the share that each pixel has in its window's token, fp32; it sums to one in each window.

    `mix` weighs each channel apart: the gradient of token z_c by pixel x_ci is alpha_c / m, m the window's
    pixels, and beta_c more where x_ci is the maximum. A pixel's share is the mean over channels of |alpha_c|
    / m + |beta_c| [x_ci is the maximum], scaled to sum to one. Of equal maxima the first counts.

    Args:
        sampler: not an adaptive one, whose weights are its scores'.
        x: what it takes, (B, C, H, W).

    Returns:
        (B, 1, H, W).
    """
    B, _, H, W = x.shape
    if isinstance(sampler, StrideSampler):
        corners = torch.zeros(B, 1, H, W)
        corners[:, :, :: sampler.rate, :: sampler.rate] = 1
        return corners
    sizes = F.avg_pool2d(torch.ones(B, 1, H, W), sampler.rate, ceil_mode=True, divisor_override=1)
    even = 1 / spread(sizes, sampler.rate, (H, W))
    if not isinstance(sampler, MixSampler):
        return even
    alpha, beta = sampler.alpha.abs().float(), sampler.beta.abs().float()
    _, places = F.max_pool2d(x.float(), sampler.rate, ceil_mode=True, return_indices=True)  # in H W
    of_channel = beta[:, None, None].expand_as(places)
    largest = torch.zeros(B, H * W).scatter_add_(1, places.flatten(1), of_channel.flatten(1))
    shares, total = alpha.sum() * even + largest.view(B, 1, H, W), alpha.sum() + beta.sum()
    return torch.where(total > 0, shares / total, even)


def attention_places(model: SAEViT) -> dict[Place, int]:
    """Return where attention is, (stage, block) from 1, and its number of heads."""
    return {
        (s + 1, b + 1): stage.num_heads
        for s, stage in enumerate(model.spec.stages)
        for b, attends in enumerate(stage.attends)
        if attends
    }


def attention_at(model: SAEViT, place: Place) -> SAA:
    """Return the attention module of a place."""
    attention = model.get_submodule(path_of(place))
    assert isinstance(attention, SAA)
    return attention


def path_of(place: Place) -> str:
    """Return the module path of a place."""
    stage, block = place
    return f"stages.{stage - 1}.blocks.{block - 1}.attn"
