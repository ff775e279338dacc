"""Attention of timm's networks as it runs, fused or not, without touching them.

A function mode sees every call of `scaled_dot_product_attention` and of `softmax` inside an attention module;
flags such as `fused_attn` stay as they are, so the outputs are bit for bit those without.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saevit.attention.layer import Given, Layer, Products, Scores
from saevit.attention.selection import select, with_heads
from saevit.attention.timm_geometry import Geometry, geometry
from saevit.errors import OptionError

SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax)
SUPPORTED = (
    "ViT, DeiT, BEiT, EVA, PVTv2, MobileViT (v1), Swin and MobileNetV4 hybrids are among those that work"
)


class Watch(TorchFunctionMode):
    """Notes the attention of the module that runs."""

    def __init__(self, running: list[str], calls: dict[str, list[Scores | None]]) -> None:
        super().__init__()
        self.running = running
        self.calls = calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.running:
            if func is F.scaled_dot_product_attention:
                self.calls.setdefault(self.running[-1], []).append(products(*args, **kwargs))
            elif func in SOFTMAXES and is_attention(*args, **kwargs):
                scores = Given(scores=args[0].detach().clone())
                self.calls.setdefault(self.running[-1], []).append(scores)
        return func(*args, **kwargs)


def products(
    q: Tensor,
    k: Tensor,
    _v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Products | None:
    """Copy what fused attention is called with, arguments as torch's. None: causal, not of an image."""
    if is_causal or q.ndim != 4:
        return None
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill_(~attn_mask, -torch.inf)
    return Products(
        q=q.detach().clone(),
        k=k.detach().repeat_interleave(q.shape[1] // k.shape[1], 1),
        scale=q.shape[3] ** -0.5 if scale is None else scale,
        bias=None if attn_mask is None else attn_mask.detach().clone(),
    )


def is_attention(x: Any, dim: int | None = None, *_args: Any, **_kwargs: Any) -> bool:
    """Is this the softmax over the keys of (B, heads, queries, keys)?"""
    return isinstance(x, Tensor) and x.ndim == 4 and dim in (-1, 3)


@dataclass(kw_only=True)
class Recording:
    """The last pass of one image through a network; `left_out` has modules that cannot be shown, and why."""

    model: nn.Module
    calls: dict[str, list[Scores | None]] = field(default_factory=dict)
    maps: dict[str, tuple[int, int]] = field(default_factory=dict)
    img_size: tuple[int, int] = (0, 0)
    stages: Collection[int] | None = None
    blocks: Collection[int] | None = None
    heads: Collection[int] | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def layers(self) -> list[Layer]:
        """Return the blocks that are asked for, in the order in which they ran.

        A stage is a row of attention modules whose maps have one size.

        Raises:
            OptionError: no attention could be seen, or none of what is asked for.
        """
        found = numbered([layer for path in self.calls if (layer := self.layer(path))])
        if not found:
            reasons = "; ".join(f"{path}: {why}" for path, why in list(self.left_out.items())[:1])
            raise OptionError(
                f"there is no attention to show ({reasons or 'no softmax attention'}): {SUPPORTED}"
            )
        places = {(layer.stage, layer.block): len(layer.heads) for layer in found}
        kept = select(places, self.stages, self.blocks, self.heads)
        return [with_heads(layer, self.heads) for layer in found if (layer.stage, layer.block) in kept]

    def layer(self, path: str) -> Layer | None:
        """Put together what one module did; None where it does not fit a map of pixels."""
        (scores, *more) = self.calls[path]
        if more or scores is None:
            self.left_out[path] = "more than one attention product" if more else "causal attention"
            return None
        try:
            where = geometry(self.model, path, scores.shape, self.img_size, self.maps)
        except ValueError as error:
            self.left_out[path] = str(error)
            return None
        return layer_of(path, scores, where, self.img_size)


@contextmanager
def capture_timm(
    model: nn.Module,
    *,
    stages: Collection[int] | None = None,
    blocks: Collection[int] | None = None,
    heads: Collection[int] | None = None,
) -> Iterator[Recording]:
    """Record the attention of a pass of one image inside the context; outputs are those without.

    Args:
        model: of timm, in eval mode; inputs are (1, 3, H, W).
        stages, blocks, heads: which to show, counted from 1; None is all.
    """
    recording = Recording(model=model, stages=stages, blocks=blocks, heads=heads)
    running: list[str] = []

    def start(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        recording.calls.clear()
        recording.left_out.clear()
        running.clear()
        recording.img_size = (args[0].shape[-2], args[0].shape[-1])

    handles = [model.register_forward_pre_hook(start)]
    try:
        for path, module in attention_modules(model).items():
            handles.append(module.register_forward_pre_hook(lambda *_, path=path: running.append(path)))
            handles.append(module.register_forward_hook(lambda *_: running.pop() and None, always_call=True))
        for path, module in model.named_modules():
            if type(module).__name__ in ("SwinTransformerBlock", "MobileVitBlock"):
                handles.append(keep_map(module, path, recording.maps))
        with Watch(running, recording.calls):
            yield recording
    finally:
        for handle in handles:
            handle.remove()


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that have heads, by path; of those inside one another, the one that runs counts."""
    return {path: module for path, module in model.named_modules() if path and hasattr(module, "num_heads")}


def keep_map(module: nn.Module, path: str, maps: dict[str, tuple[int, int]]) -> Any:
    """Note the size of the map that a block cuts into windows or patches."""
    if type(module).__name__ == "SwinTransformerBlock":

        def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            maps[path] = (args[0].shape[1], args[0].shape[2])

        return module.register_forward_pre_hook(enter)

    def leave(_module: nn.Module, _args: Any, output: Tensor) -> None:
        maps[path] = (output.shape[2], output.shape[3])

    return module.get_submodule("conv_1x1").register_forward_hook(leave)


def layer_of(path: str, scores: Scores, where: Geometry, img_size: tuple[int, int]) -> Layer:
    """Return a module's attention between pixels, class tokens left out of it and their share told."""
    elsewhere = 0.0
    if where.prefix:
        elsewhere = prefix_share(scores, where.prefix)
        scores = without_prefix(scores, where.prefix)
    return Layer(
        stage=0,
        block=0,
        path=path,
        heads=tuple(range(1, scores.shape[1] + 1)),
        height=where.height,
        width=where.width,
        stride=(img_size[0] / where.height, img_size[1] / where.width),
        rate=where.rate,
        sampling=where.sampling,
        scores=scores,
        row=where.row,
        column=where.column,
        weights=where.weights,
        elsewhere=elsewhere,
    )


def prefix_share(scores: Scores, prefix: int) -> float:
    """Return the mean share that pixels give to the first tokens, which are none."""
    _, _, nq, _ = scores.shape
    total = 0.0
    for rows in torch.split(torch.arange(prefix, nq), 512):
        P = scores.part(slice(0, 1), rows).softmax(3)
        total += float(P[..., :prefix].sum(3).mean(1).sum())
    return total / (nq - prefix)


def without_prefix(scores: Scores, prefix: int) -> Scores:
    """Leave the first tokens out: the softmax over the others is P divided by what is left of its row."""
    if isinstance(scores, Given):
        return Given(scores=scores.scores[:, :, prefix:, prefix:])
    assert isinstance(scores, Products)
    bias = None if scores.bias is None else scores.bias.expand(scores.shape)[:, :, prefix:, prefix:]
    return replace(scores, q=scores.q[:, :, prefix:], k=scores.k[:, :, prefix:], bias=bias)


def numbered(layers: list[Layer]) -> list[Layer]:
    """Number stages and blocks: a change of the map's size begins a stage."""
    done: list[Layer] = []
    for layer in layers:
        last = done[-1] if done else None
        same = last is not None and (last.height, last.width) == (layer.height, layer.width)
        stage = last.stage + (not same) if last else 1
        done.append(replace(layer, stage=stage, block=last.block + 1 if last and same else 1))
    return done
