"""Draw a small dataset: five shapes in four styles are 20 classes, of 64 x 64 px.

    python examples/draw_shapes.py FOLDER [--train 40] [--val 20]

Colour, place, size and angle of the shapes are random, and the same in each call.
"""

import argparse
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIDE, SCALE = 64, 4  # px; images are drawn larger, and reduced
CORNERS = {"triangle": 3, "square": 4, "pentagon": 5, "star": 5, "circle": 48}
STYLES = ("filled", "outlined", "nested", "striped")


def draw(shape: str, style: str, rng: random.Random) -> Image.Image:
    """Return one image of a class."""
    whole = SIDE * SCALE
    paper, ink = (
        tuple(rng.randint(low, low + 110) for _ in range(3)) for low in rng.choice([(0, 145), (145, 0)])
    )
    image = Image.new("RGB", (whole, whole), paper)
    x, y = (whole * rng.uniform(0.38, 0.62) for _ in range(2))
    radius, turn = whole * rng.uniform(0.24, 0.36), rng.uniform(-0.2, 0.2) - math.pi / 2
    mask = Image.new("L", (whole, whole))
    pen = ImageDraw.Draw(mask)
    fill = {"filled": 255, "striped": 255}.get(style, 0)
    pen.polygon(outline_of(shape, x, y, radius, turn), fill=fill, outline=255, width=3 * SCALE)
    if style == "nested":
        pen.polygon(outline_of(shape, x, y, radius / 2, turn), fill=255)
    if style == "striped":
        for line in range(0, whole, 8 * SCALE):
            pen.line((0, line, whole, line), fill=0, width=4 * SCALE)
    image.paste(ink, mask=mask)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX).filter(
        ImageFilter.GaussianBlur(rng.uniform(0, 1))
    )


def outline_of(shape: str, x: float, y: float, radius: float, turn: float) -> list[tuple[float, float]]:
    """Return the corners of a shape around a centre."""
    count = CORNERS[shape] * (2 if shape == "star" else 1)
    points = []
    for number in range(count):
        far = radius / 2.4 if shape == "star" and number % 2 else radius
        angle = turn + 2 * math.pi * number / count
        points.append((x + far * math.cos(angle), y + far * math.sin(angle)))
    return points


def main() -> None:
    """Write FOLDER/train and FOLDER/val, with one folder per class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=40, help="images of each class for training")
    parser.add_argument("--val", type=int, default=20, help="images of each class for validation")
    given = parser.parse_args()
    for split, count in (("train", given.train), ("val", given.val)):
        for shape in CORNERS:
            for style in STYLES:
                folder = given.folder / split / f"{style}_{shape}"
                folder.mkdir(parents=True, exist_ok=True)
                for number in range(count):
                    rng = random.Random(f"{split} {shape} {style} {number}")
                    draw(shape, style, rng).save(folder / f"{number:03}.png")


if __name__ == "__main__":
    main()
