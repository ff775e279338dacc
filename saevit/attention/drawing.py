"""Draw the default image: an icon of a picture with mountains and the sun, black on white.

It needs no image file, and it suits the shipped weights, which are trained on icons (`saevit.train.icons`).
"""

from typing import TYPE_CHECKING, Any

from saevit.errors import need

if TYPE_CHECKING:
    from PIL import Image

NAME = "drawing"
SIDE = 512  # pixels
GRID = 24  # units of the coordinates below, as in most icon sets
OVERSAMPLING = 4
STROKE = 1.6  # units

FRAME, CORNER = (2.5, 3.5, 21.5, 20.5), 2.5  # left, top, right, bottom, radius
SUN = (6.5, 6.7, 10.3, 10.5)
MOUNTAINS = ((3.3, 16.9), (8, 13), (11.5, 16.5), (16, 10.5), (20.7, 15.2))


def draw_scene() -> "Image.Image":
    """Return the drawing, (SIDE, SIDE) in RGB."""
    module: Any = need("PIL.Image")
    scale = SIDE * OVERSAMPLING / GRID
    width = round(STROKE * scale)
    image = module.new("L", (SIDE * OVERSAMPLING, SIDE * OVERSAMPLING), 255)
    pen = need("PIL.ImageDraw").Draw(image)
    pen.rounded_rectangle([at * scale for at in FRAME], CORNER * scale, outline=0, width=width)
    pen.ellipse([at * scale for at in SUN], fill=0)
    pen.line([(x * scale, y * scale) for x, y in MOUNTAINS], fill=0, width=width, joint="curve")
    scene: Image.Image = image.resize((SIDE, SIDE), module.Resampling.BOX).convert("RGB")
    return scene
