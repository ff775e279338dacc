"""Map the tokens of an attention module to pixels, for SAEViT and for timm networks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.model.saa import AdaptiveSampler, MixSampler, Sampler, StrideSampler, spread, window_softmax

Shape = tuple[int, int, int, int]
Size = tuple[int, int]  # height, width


@dataclass(frozen=True, kw_only=True)
class TokenMap:
    """The map of a module with the query (`row`), key (`column`) and weight of each pixel (see `effective`).

    prefix: number of tokens before those of the map, such as a class token.
    stride: input pixels per pixel of the map (vertical, horizontal); None is input size over map size.
    """

    size: Size
    row: Tensor
    column: Tensor
    weights: Tensor
    rate: int = 1
    sampling: str = "none"
    prefix: int = 0
    stride: tuple[float, float] | None = None


def map_saa(size: Size, stride: float, rate: int, sampling: str, weights: Tensor | None) -> TokenMap:
    """Return the windows of SAA as tokens, row by row, with their pixel weights (None: all 1)."""
    down, across = (torch.arange(side) // rate for side in size)
    window = (down[:, None] * -(-size[1] // rate) + across).flatten()
    return TokenMap(
        size=size,
        row=window,
        column=window,
        weights=torch.ones(len(window)) if weights is None else weights.flatten(),
        rate=rate,
        sampling=sampling if rate > 1 else "none",
        stride=(float(stride), float(stride)),
    )


@torch.no_grad()
def compute_window_weights(sampler: Sampler, x: Tensor) -> Tensor:
    """Return the share of each pixel in the token of its window, in fp32; it sums to one in each window.

    `mix` weighs each channel separately: the derivative of token z_c by pixel x_ci is alpha_c / m (m: pixels
    of the window), plus beta_c if x_ci is the maximum. The share is the mean over channels of
    |alpha_c| / m + |beta_c| [x_ci is the maximum], scaled to a sum of one. Of equal maxima the first is used.

    Args:
        sampler: the sampler of an SAA module.
        x: (B, C, H, W) the input of the sampler.

    Returns:
        (B, 1, H, W).
    """
    B, _, H, W = x.shape
    if isinstance(sampler, AdaptiveSampler):
        return window_softmax(sampler.score(x), sampler.rate).float()
    if isinstance(sampler, StrideSampler):
        corners = torch.zeros(B, 1, H, W)
        corners[:, :, :: sampler.rate, :: sampler.rate] = 1
        return corners
    sizes = F.avg_pool2d(torch.ones(B, 1, H, W), sampler.rate, ceil_mode=True, divisor_override=1)
    even = 1 / spread(sizes, sampler.rate, (H, W))
    if not isinstance(sampler, MixSampler):
        return even
    alpha, beta = sampler.alpha.abs().float(), sampler.beta.abs().float()
    _, maxima = F.max_pool2d(x.float(), sampler.rate, ceil_mode=True, return_indices=True)  # in H W
    of_channel = beta[:, None, None].expand_as(maxima)
    largest = torch.zeros(B, H * W).scatter_add_(1, maxima.flatten(1), of_channel.flatten(1))
    shares, total = alpha.sum() * even + largest.view(B, 1, H, W), alpha.sum() + beta.sum()
    return torch.where(total > 0, shares / total, even)


def map_timm(
    model: nn.Module, path: str, shape: Shape, img_size: Size, sizes: Mapping[str, Size]
) -> TokenMap:
    """Return the tokens of an attention module of a timm network.

    Args:
        model: the network.
        path: the path of the module.
        shape: (groups, heads, queries, keys) of the module's scores.
        img_size: (H, W) of the input.
        sizes: (H, W) of the maps that blocks split into windows or patches, by the path of the block.

    Raises:
        ValueError: the tokens do not form a map; the message is a short reason.
    """
    around = next((block for block in sizes if path.startswith(block + ".")), None)
    if around is not None:
        block: Any = model.get_submodule(around)
        if type(block).__name__ == "SwinTransformerBlock":
            return map_windows(sizes[around], tuple(block.window_size), tuple(block.shift_size))
        return map_patches(sizes[around], shape[2], tuple(block.patch_size))
    groups, _, queries, keys = shape
    if groups > 1:
        raise ValueError(f"{groups} groups of tokens in an unknown arrangement")
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    size = fit_grid(queries - prefix, img_size)
    if size is None and prefix:
        prefix, size = 0, fit_grid(queries, img_size)
    if size is None:
        raise ValueError(f"{queries} queries do not form a grid on {img_size[0]} x {img_size[1]} px")
    pixels = torch.arange(size[0] * size[1])
    grid = TokenMap(size=size, row=pixels, column=pixels, weights=torch.ones(len(pixels)), prefix=prefix)
    return grid if queries == keys else map_regions(grid, model.get_submodule(path), keys, img_size)


def map_regions(grid: TokenMap, module: Any, keys: int, img_size: Size) -> TokenMap:
    """Return the map with keys for regions of r x r pixels (PVT), with equal weights in a region."""
    (height, width), coarse = grid.size, fit_grid(keys, img_size)
    if grid.prefix or coarse is None:
        raise ValueError(f"{keys} keys do not form a grid on {img_size[0]} x {img_size[1]} px")
    kernel = getattr(getattr(module, "sr", None), "kernel_size", (1,))[0]
    rate = kernel if kernel > 1 else -(-height // coarse[0])
    y, x = torch.arange(height) // rate, torch.arange(width) // rate
    if y.max() < coarse[0] - 1 or x.max() < coarse[1] - 1 or (kernel == 1 and height % coarse[0]):
        raise ValueError(f"{coarse[0]} x {coarse[1]} keys do not fit a map of {height} x {width} pixels")
    inside = ((y < coarse[0])[:, None] & (x < coarse[1])).flatten()  # a strided convolution ignores the rest
    column = (y.clamp(max=coarse[0] - 1)[:, None] * coarse[1] + x.clamp(max=coarse[1] - 1)).flatten()
    counts = torch.bincount(column[inside], minlength=keys).float()
    return replace(grid, column=column, weights=inside / counts[column], rate=rate, sampling="reduction")


def map_windows(size: Size, window: Size, shift: Size) -> TokenMap:
    """Return the windows of Swin: the map is rolled by `shift`, then split into windows."""
    (H, W), (wh, ww) = size, window
    if H % wh or W % ww:
        raise ValueError(f"windows of {wh} x {ww} do not divide the map of {H} x {W}")
    y, x = (torch.arange(H) - shift[0]) % H, (torch.arange(W) - shift[1]) % W
    group = (y // wh)[:, None] * (W // ww) + x // ww
    token = (group * (wh * ww) + (y % wh)[:, None] * ww + x % ww).flatten()
    return TokenMap(size=size, row=token, column=token, weights=torch.ones(H * W))


def map_patches(size: Size, patches: int, patch: Size) -> TokenMap:
    """Return the groups of MobileViT: a group has the pixels at the same position of all patches."""
    ph, pw = patch
    H, W = -(-size[0] // ph) * ph, -(-size[1] // pw) * pw  # the network resizes the map to whole patches
    y, x = torch.arange(H), torch.arange(W)
    group = (y % ph)[:, None] * pw + x % pw
    token = (group * patches + (y // ph)[:, None] * (W // pw) + x // pw).flatten()
    return TokenMap(size=(H, W), row=token, column=token, weights=torch.ones(H * W))


def fit_grid(tokens: int, img_size: Size) -> Size | None:
    """Return the height and width of a grid of tokens with the image's aspect ratio, or None."""
    if tokens < 1:
        return None
    guess = round((tokens * img_size[0] / img_size[1]) ** 0.5)
    for height in sorted(range(max(1, guess - 2), guess + 3), key=lambda h: abs(h - guess)):
        width, left = divmod(tokens, height)
        # Rows and columns have the same stride, except for rounding of the last row or column.
        if not left and abs(img_size[0] * width - img_size[1] * height) < max(img_size):
            return height, width
    return None
