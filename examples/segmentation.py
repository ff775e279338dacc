"""SAEViT as a backbone: features of four strides, a small segmentation head, trained on images that it draws.

    python examples/segmentation.py [--variant saevit_pico] [--steps 1000] [--output segmentation.png]

Discs, squares and triangles on a noisy ground; each pixel belongs to one of them or to the ground. The
backbone comes from timm's registry and starts from random weights, as there are no pretrained ones. Prints
the intersection over union (IoU) on images that it never saw, and draws some of them. Two cores: 2 minutes.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor, nn

import saevit.model.timm_registry  # noqa: F401 (puts SAEViT among timm's models)

CLASSES = ("ground", "disc", "square", "triangle")
COLOURS = ListedColormap(["#e8e8e8", "#4477aa", "#ee6677", "#228833"])
IMG_SIZE, BATCH_SIZE, WIDTH = 64, 16, 64
LR = 5e-3
NUM_TEST = 200


class Segmenter(nn.Module):
    """Maps brought to one width, summed at stride 4, classified. (B, 3, H, W) -> (B, classes, H, W)."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.backbone = timm.create_model("saevit", variant=variant, features_only=True)
        channels = self.backbone.feature_info.channels()
        self.laterals = nn.ModuleList([nn.Conv2d(C, WIDTH, 1) for C in channels])
        self.smooth = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU())
        self.classify = nn.Conv2d(WIDTH, len(CLASSES), 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [lateral(m) for lateral, m in zip(self.laterals, self.backbone(x), strict=True)]
        size = maps[0].shape[2:]
        merged = sum((F.interpolate(m, size, mode="bilinear") for m in maps[1:]), start=maps[0])
        return F.interpolate(self.classify(self.smooth(merged)), x.shape[2:], mode="bilinear")


def scene(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw one image (H, W, 3) in [0, 1] and the class of each pixel (H, W)."""
    y, x = np.mgrid[:IMG_SIZE, :IMG_SIZE]
    image = rng.uniform(0, 1, 3) + rng.normal(0, 0.05, (IMG_SIZE, IMG_SIZE, 3))
    mask = np.zeros((IMG_SIZE, IMG_SIZE), np.int64)
    for _ in range(rng.integers(1, 4)):
        kind, size = rng.integers(1, len(CLASSES)), rng.uniform(10, 18)
        centre, angle = rng.uniform(10, IMG_SIZE - 10, 2), rng.uniform(0, 2 * math.pi)
        u = (x - centre[0]) * math.cos(angle) + (y - centre[1]) * math.sin(angle)
        v = (y - centre[1]) * math.cos(angle) - (x - centre[0]) * math.sin(angle)
        inside = {
            1: u**2 + v**2 < size**2,
            2: np.maximum(abs(u), abs(v)) < 0.85 * size,
            3: (v > -0.6 * size) & (v < 1.1 * size - 1.8 * abs(u)),
        }[int(kind)]
        image[inside] = rng.uniform(0, 1, 3) + rng.normal(0, 0.05, (int(inside.sum()), 3))
        mask[inside] = kind
    return image.clip(0, 1).astype(np.float32), mask


def batch(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Return images (B, 3, H, W) around 0 and masks (B, H, W)."""
    images, masks = zip(*(scene(rng) for _ in range(count)), strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # channels_last in memory
    return pixels * 2 - 1, torch.from_numpy(np.stack(masks))


def train(model: Segmenter, steps: int, seed: int) -> None:
    """Train on images that are drawn as they are needed; the learning rate falls along a cosine."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(1, steps + 1):
        images, masks = batch(rng, BATCH_SIZE)
        loss = F.cross_entropy(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            print(f"step {step} of {steps}, loss {loss.item():.3f}")


@torch.inference_mode()
def predict(model: Segmenter, images: Tensor) -> Tensor:
    """Return the class of each pixel (B, H, W)."""
    return torch.cat([model.eval()(part).argmax(1) for part in images.split(BATCH_SIZE)])


def iou(found: Tensor, truth: Tensor) -> list[float]:
    """Return intersection over union of each class, over all pixels of all images."""
    pairs = [(found == c, truth == c) for c in range(len(CLASSES))]
    return [((f & t).sum() / (f | t).sum().clamp(min=1)).item() for f, t in pairs]


def draw(images: Tensor, truth: Tensor, found: Tensor, title: str, path: Path) -> None:
    """Draw images, their classes, and what was found."""
    rows = {"image": images.permute(0, 2, 3, 1) / 2 + 0.5, "truth": truth, "found": found}
    figure = Figure(figsize=(1.5 * len(images) + 0.4, 5.6), layout="constrained")
    axes = figure.subplots(len(rows), len(images), squeeze=False)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(row, pictures.numpy(), strict=True):
            axis.imshow(picture, cmap=COLOURS, vmin=0, vmax=len(CLASSES) - 1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.suptitle(title, fontsize=11)
    patches = [Patch(color=COLOURS(i), label=name) for i, name in enumerate(CLASSES)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(CLASSES), frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--variant", default="saevit_pico")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("segmentation.png"))
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    layout = {"memory_format": torch.channels_last}  # the faster one on a CPU
    model = Segmenter(arguments.variant).to(**layout)
    train(model, arguments.steps, arguments.seed)
    images, truth = batch(np.random.default_rng([arguments.seed, 1]), NUM_TEST)
    found = predict(model, images)
    scores = iou(found, truth)
    told = ", ".join(f"{name} {score:.3f}" for name, score in zip(CLASSES, scores, strict=True))
    mean = sum(scores) / len(scores)
    print(f"IoU on {NUM_TEST} new images: mean {mean:.3f} ({told})")
    title = f"{arguments.variant}, {arguments.steps} steps from random weights: mean IoU {mean:.3f}"
    draw(images[:6], truth[:6], found[:6], f"{title} on {NUM_TEST} new images", arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
