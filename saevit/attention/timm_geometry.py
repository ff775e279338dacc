"""Which pixels the tokens of timm's attention modules are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The map of a module, and the query and key of each of its pixels (see `Layer`).

    prefix: tokens before those of the map, such as a class token.
    """

    height: int
    width: int
    row: Tensor
    column: Tensor
    weights: Tensor
    rate: int = 1
    sampling: str = "none"
    prefix: int = 0


def geometry(
    model: nn.Module,
    path: str,
    shape: tuple[int, int, int, int],
    img_size: tuple[int, int],
    maps: Mapping[str, tuple[int, int]],
) -> Geometry:
    """Find a module's tokens in the image.

    Args:
        model: the whole network.
        path: of the attention module.
        shape: of its scores for one image, (groups, heads, queries, keys).
        img_size: (H, W) of the input.
        maps: sizes seen by blocks that cut their map into windows or patches, by path.

    Raises:
        ValueError: they make no map, in a few words.
    """
    around = [other for other in maps if path.startswith(other + ".")]
    if around:
        block: Any = model.get_submodule(around[0])
        if type(block).__name__ == "SwinTransformerBlock":
            return of_windows(maps[around[0]], tuple(block.window_size), tuple(block.shift_size))
        return of_patches(shape, tuple(block.patch_size), maps[around[0]])
    if shape[0] > 1:
        raise ValueError(f"{shape[0]} groups of tokens of unknown form")
    return of_grid(model, model.get_submodule(path), shape, img_size)


def of_grid(
    model: nn.Module, module: nn.Module, shape: tuple[int, int, int, int], img_size: tuple[int, int]
) -> Geometry:
    """Every pixel is a query; keys are pixels too, or even regions of r x r (spatial reduction)."""
    _, _, queries, keys = shape
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    grid = grid_of(queries - prefix, img_size)
    if grid is None and prefix:
        prefix, grid = 0, grid_of(queries, img_size)
    if grid is None:
        raise ValueError(f"{queries} queries are no grid on {img_size[0]} x {img_size[1]} px")
    row = torch.arange(grid[0] * grid[1])
    whole = Geometry(
        height=grid[0], width=grid[1], row=row, column=row, weights=torch.ones(len(row)), prefix=prefix
    )
    return whole if queries == keys else reduced(whole, module, keys, img_size)


def reduced(whole: Geometry, module: Any, keys: int, img_size: tuple[int, int]) -> Geometry:
    """Keys of r x r regions; their pixels share a key evenly, whatever the kernel that reads them."""
    coarse = grid_of(keys, img_size)
    if whole.prefix or coarse is None:
        raise ValueError(f"{keys} keys are no grid on {img_size[0]} x {img_size[1]} px")
    kernel = getattr(getattr(module, "sr", None), "kernel_size", (1,))[0]
    rate = kernel if kernel > 1 else -(-whole.height // coarse[0])
    y, x = torch.arange(whole.height) // rate, torch.arange(whole.width) // rate
    if y.max() < coarse[0] - 1 or x.max() < coarse[1] - 1 or (kernel == 1 and whole.height % coarse[0]):
        raise ValueError(f"keys of {coarse[0]} x {coarse[1]} for a map of {whole.height} x {whole.width}")
    inside = ((y < coarse[0])[:, None] & (x < coarse[1])).flatten()  # a strided convolution drops the rest
    column = (y.clamp(max=coarse[0] - 1)[:, None] * coarse[1] + x.clamp(max=coarse[1] - 1)).flatten()
    sizes = torch.bincount(column[inside], minlength=keys).float()
    return Geometry(
        height=whole.height,
        width=whole.width,
        row=whole.row,
        column=column,
        weights=inside / sizes[column],
        rate=rate,
        sampling="reduction",
    )


def of_windows(grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Geometry:
    """Swin's windows: the map is rolled by the shift, then cut."""
    (H, W), (wh, ww) = grid, window
    if H % wh or W % ww:
        raise ValueError(f"windows of {wh} x {ww} do not divide the map of {H} x {W}")
    y, x = (torch.arange(H) - shift[0]) % H, (torch.arange(W) - shift[1]) % W
    group = (y // wh)[:, None] * (W // ww) + x // ww
    token = (group * (wh * ww) + (y % wh)[:, None] * ww + x % ww).flatten()
    return Geometry(height=H, width=W, row=token, column=token, weights=torch.ones(H * W))


def of_patches(shape: tuple[int, int, int, int], patch: tuple[int, int], grid: tuple[int, int]) -> Geometry:
    """MobileViT: pixels at the same place of their patches attend to one another."""
    ph, pw = patch
    H, W = -(-grid[0] // ph) * ph, -(-grid[1] // pw) * pw  # it resizes the map to whole patches
    y, x = torch.arange(H), torch.arange(W)
    group = (y % ph)[:, None] * pw + x % pw
    token = (group * shape[2] + (y // ph)[:, None] * (W // pw) + x // pw).flatten()
    return Geometry(height=H, width=W, row=token, column=token, weights=torch.ones(H * W))


def grid_of(tokens: int, img_size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the height and width of a grid of the image's shape with so many tokens."""
    if tokens < 1:
        return None
    guess = round((tokens * img_size[0] / img_size[1]) ** 0.5)
    for height in sorted(range(max(1, guess - 2), guess + 3), key=lambda h: abs(h - guess)):
        width, left = divmod(tokens, height)
        # Rows and columns have one stride, up to the rounding of the last one.
        if not left and abs(img_size[0] * width - img_size[1] * height) < max(img_size):
            return height, width
    return None
