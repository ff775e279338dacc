"""Record the attention of a network during a forward pass, without changes to the network or its outputs.

A TorchFunctionMode intercepts calls of `scaled_dot_product_attention` and `softmax` in attention modules, so
that timm's flags such as `fused_attn` keep their values. Hooks record the sizes of maps and, in SAEViT, the
window weights. SAEViT must be in its defined form, because the folded form lacks these modules.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from saevit.attention.effective import Layer, Scores
from saevit.attention.findings import AttentionBlock
from saevit.attention.tokens import Shape, Size, TokenMap, compute_window_weights, map_saa, map_timm
from saevit.errors import OptionError
from saevit.model.pyramid import SAEViT
from saevit.model.saa import SAA, Sampler
from saevit.variant import STRIDES

SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax)
# Blocks that split a map into tokens: the submodule whose input is the map, and the dimensions of H and W.
TAKES_MAP = {
    "SAA": ("", slice(2, 4)),
    "SwinTransformerBlock": ("", slice(1, 3)),
    "MobileVitBlock": ("conv_1x1", slice(2, 4)),
}
SUPPORTED = "models that work are ViT, DeiT, BEiT, EVA, PVTv2, MobileViT (v1), Swin and MobileNetV4 hybrids"


class AttentionMode(TorchFunctionMode):
    """Records the attention scores of the attention module that is running."""

    def __init__(self, running: list[str], calls: dict[str, list[Scores | None]]) -> None:
        super().__init__()
        self.running = running
        self.calls = calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.running:
            if func is F.scaled_dot_product_attention:
                self.calls.setdefault(self.running[-1], []).append(copy_products(*args, **kwargs))
            elif func in SOFTMAXES and is_over_keys(*args, **kwargs):
                self.calls.setdefault(self.running[-1], []).append(copy_scores(args[0]))
        return func(*args, **kwargs)


def copy_products(
    q: Tensor,
    k: Tensor,
    _v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Scores | None:
    """Copy the arguments of `scaled_dot_product_attention`; return None for causal attention."""
    if is_causal or q.ndim != 4:
        return None
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill_(~attn_mask, -torch.inf)
    return Scores(
        q=q.detach().clone(),  # the network may overwrite its tensors
        k=k.detach().repeat_interleave(q.shape[1] // k.shape[1], 1),
        scale=q.shape[3] ** -0.5 if scale is None else scale,
        bias=None if attn_mask is None else attn_mask.detach().clone(),
    )


def copy_scores(scores: Tensor) -> Scores:
    """Copy scores (G, heads, nq, nk) of a module that computes its own softmax."""
    G, heads, nq, nk = scores.shape
    empty = scores.new_empty(0)
    return Scores(
        q=empty.view(G, heads, nq, 0), k=empty.view(G, heads, nk, 0), bias=scores.detach().clone().float()
    )


def is_over_keys(x: Any, dim: int | None = None, *_args: Any, **_kwargs: Any) -> bool:
    """Tell whether the arguments of a softmax are scores (B, heads, queries, keys) and the key dimension."""
    return isinstance(x, Tensor) and x.ndim == 4 and dim in (-1, 3)


@dataclass(kw_only=True)
class Recording:
    """The recorded tensors of the last forward pass. Keys of dictionaries are paths of modules, or stages."""

    model: nn.Module
    img_size: Size = (0, 0)
    calls: dict[str, list[Scores | None]] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)  # (H, W) of maps
    weights: dict[str, Tensor] = field(default_factory=dict)  # SAA's window weights, (1, 1, H, W)
    features: dict[str, Tensor] = field(default_factory=dict)  # SAA's normalised inputs, (C, H, W)
    inputs: dict[int, Tensor] = field(default_factory=dict)  # inputs of SAEViT's stages, (C, H, W)
    left_out: dict[str, str] = field(default_factory=dict)  # modules that cannot be shown, with the reason
    logits: Tensor = field(default_factory=lambda: torch.empty(0))

    def layers(self) -> list[Layer]:
        """Return the blocks with attention in the order of execution; raise OptionError without any."""
        layers = [layer for path in self.calls if (layer := self._layer(path))]
        if layers:
            return layers if isinstance(self.model, SAEViT) else number_blocks(layers)
        if isinstance(self.model, SAEViT):
            raise OptionError("this variant has no attention: set attention=saa or attention=dense")
        reason = next((f"{path}: {why}" for path, why in self.left_out.items()), "no softmax attention")
        raise OptionError(f"the attention of this model cannot be shown ({reason}): {SUPPORTED}")

    def _layer(self, path: str) -> Layer | None:
        """Return the attention of one module; None if its tokens do not form a map."""
        scores, *more = self.calls[path]
        if more or scores is None:
            self.left_out[path] = "more than one attention product" if more else "causal attention"
            return None
        try:
            tokens = self._tokens(path, scores.shape)
        except ValueError as error:
            self.left_out[path] = str(error)
            return None
        pixel_scores = scores.select(first_token=tokens.prefix)
        groups, heads, queries, keys = pixel_scores.shape
        stage, number = parse_path(path) if isinstance(self.model, SAEViT) else (0, 0)  # see number_blocks
        height, width = tokens.size
        return Layer(
            block=AttentionBlock(
                stage=stage,
                number=number,
                path=path,
                height=height,
                width=width,
                stride=tokens.stride or (self.img_size[0] / height, self.img_size[1] / width),
                rate=tokens.rate,
                sampling=tokens.sampling,
                groups=groups,
                queries=queries,
                keys=keys,
            ),
            heads=tuple(range(1, heads + 1)),
            scores=pixel_scores,
            row=tokens.row,
            column=tokens.column,
            weights=tokens.weights,
            outside=compute_prefix_share(scores, tokens.prefix) if tokens.prefix else 0.0,
            features=self.features.get(path),
        )

    def _tokens(self, path: str, shape: Shape) -> TokenMap:
        """Return the tokens of a module by the shape of its scores; raise ValueError if they form no map."""
        if not isinstance(self.model, SAEViT):
            return map_timm(self.model, path, shape, self.img_size, self.sizes)
        stage = parse_path(path)[0] - 1
        rate, sampling = self.model.spec.stages[stage].rate, self.model.spec.sampling
        return map_saa(self.sizes[path], STRIDES[stage], rate, sampling, self.weights.get(path))


def compute_prefix_share(scores: Scores, prefix: int) -> float:
    """Return the mean share of attention that pixels give to the prefix tokens, such as a class token."""
    nq, total = scores.shape[2], 0.0
    for rows in torch.split(torch.arange(prefix, nq), 512):
        total += float(scores.softmax(slice(0, 1), rows)[..., :prefix].sum(3).mean(1).sum())
    return total / (nq - prefix)


def number_blocks(layers: list[Layer]) -> list[Layer]:
    """Number the blocks of a timm network: consecutive blocks with maps of equal size form a stage."""
    stages = groupby(layers, lambda layer: (layer.block.height, layer.block.width))
    return [
        replace(layer, block=replace(layer.block, stage=stage, number=number))
        for stage, (_, members) in enumerate(stages, 1)
        for number, layer in enumerate(members, 1)
    ]


@contextmanager
def capture(model: nn.Module, *, features: bool = False) -> Iterator[Recording]:
    """Record the attention of the last forward pass in the context.

    Outputs and mode of the network do not change, and all hooks are removed at the end.

    Args:
        model: a SAEViT in its defined form or a timm network, in eval mode. It must get one image per pass.
        features: whether to record the normalised inputs of SAA, from which dense attention is computed.
    """
    recording = Recording(model=model)
    running: list[str] = []  # paths of the running attention modules, the innermost last

    def start(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        for kept in (running, recording.calls, recording.inputs, recording.left_out):
            kept.clear()
        recording.img_size = (args[0].shape[-2], args[0].shape[-1])

    handles = [model.register_forward_pre_hook(start)]
    try:
        for path, module in find_attention_modules(model).items():
            handles.append(module.register_forward_pre_hook(lambda *_, path=path: running.append(path)))
            handles.append(module.register_forward_hook(lambda *_: running.pop() and None, always_call=True))
            if isinstance(module, SAA):
                handles += hook_saa(model, module, path, recording, features=features)
        for path, module in model.named_modules():
            if type(module).__name__ in TAKES_MAP:
                handles.append(hook_map(module, path, recording.sizes))
        with AttentionMode(running, recording.calls):
            yield recording
    finally:
        for handle in handles:
            handle.remove()


def find_attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that have the attribute `num_heads`, by path; they may be nested."""
    return {path: module for path, module in model.named_modules() if path and hasattr(module, "num_heads")}


def parse_path(path: str) -> tuple[int, int]:
    """Return stage and block, from 1, of a path in SAEViT: (1, 2) for `stages.0.blocks.1.attn`."""
    _, stage, _, block, _ = path.split(".")
    return int(stage) + 1, int(block) + 1


def hook_map(block: nn.Module, path: str, sizes: dict[str, Size]) -> RemovableHandle:
    """Record the size of the map that a block splits into tokens."""
    name, sides = TAKES_MAP[type(block).__name__]

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        height, width = args[0].shape[sides]
        sizes[path] = height, width

    return block.get_submodule(name).register_forward_pre_hook(enter)


def hook_saa(
    model: nn.Module, attention: SAA, path: str, recording: Recording, *, features: bool
) -> list[RemovableHandle]:
    """Record the window weights of SAA, the input of its stage, and (`features`) its normalised input."""
    sampler, stage = attention.sample, parse_path(path)[0]

    def sample(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(sampler, Sampler)
        recording.weights[path] = compute_window_weights(sampler, args[0].detach())

    def enter_stage(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if stage not in recording.inputs:  # each block of the stage registers this hook
            recording.inputs[stage] = args[0][0].detach().clone()

    def norm(_module: nn.Module, _args: Any, output: Tensor) -> None:
        recording.features[path] = output[0].detach().clone()

    first = model.get_submodule(f"stages.{stage - 1}.blocks.0")
    handles = [first.register_forward_pre_hook(enter_stage)]
    if isinstance(sampler, Sampler):
        handles.append(sampler.register_forward_pre_hook(sample))
    return [*handles, attention.norm.register_forward_hook(norm)] if features else handles
