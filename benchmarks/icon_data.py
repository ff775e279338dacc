"""Render the icons of @iconify/json: counts, CPU time, and how far the nearest neighbour gets.

    python benchmarks/icon_data.py FILE.tgz [--size 128] [--sheet sheet.png]

The icons are rendered again, whether or not a cache exists. The nearest neighbour compares 16 x 16 px by the
cosine of their ink: an accuracy without any learning. `--sheet` draws 100 icons with their classes.
"""

import argparse
import random
import resource
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from saevit.train.icons import open_icons
from saevit.train.image_data import ImageData

CELL = (140, 150)  # px of an icon in the sheet


def read_ink(data: ImageData, side: int) -> np.ndarray:
    """Return the ink of all images at `side` px, (N, side * side), each of length 1."""
    resized = [data.read(i).convert("L").resize((side, side), Image.Resampling.BOX) for i in range(len(data))]
    ink = 255 - np.stack([np.asarray(image) for image in resized]).reshape(len(data), -1).astype(np.float32)
    return ink / np.linalg.norm(ink, axis=1, keepdims=True)


def draw_sheet(data: ImageData, path: Path) -> None:
    """Draw 100 icons with the names of their classes."""
    sheet = Image.new("L", (10 * CELL[0], 10 * CELL[1]), 255)
    for place, i in enumerate(random.Random(0).sample(range(len(data)), 100)):
        x, y = place % 10 * CELL[0], place // 10 * CELL[1]
        sheet.paste(data.read(i).convert("L").resize((128, 128)), (x + 6, y + 4))
        ImageDraw.Draw(sheet).text((x + 6, y + 134), data.class_names[data.labels[i]], fill=0)
    sheet.save(path)


def main() -> None:
    """Render, count and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    data = open_icons(options.file, "all", size=options.size, caches=[])
    own, child = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(data.statement)
    print(f"CPU: {own.ru_utime + own.ru_stime:.0f} s, and {child.ru_utime + child.ru_stime:.0f} s in resvg")
    if options.sheet:
        draw_sheet(data, options.sheet)
    train, validation = (
        open_icons(options.file, split, size=options.size) for split in ("train", "validation")
    )
    for name, part in (("training", train), ("validation", validation)):
        counts = sorted(Counter(part.labels).values())
        print(f"{name}: {len(part):,} icons, {counts[0]} to {counts[-1]} in a class")
    nearest = (read_ink(validation, 16) @ read_ink(train, 16).T).argmax(1)
    hits = np.array(train.labels)[nearest] == np.array(validation.labels)
    print(f"nearest neighbour at 16 x 16 px: {100 * hits.mean():.1f} %")
    ink, known = read_ink(validation, 64), read_ink(train, 64)
    best = np.concatenate([(ink[i : i + 512] @ known.T).max(1) for i in range(0, len(ink), 512)])
    print(f"validation icons with a copy (cosine above 0.99) in training: {100 * (best > 0.99).mean():.1f} %")


if __name__ == "__main__":
    main()
