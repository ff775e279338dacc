"""The image that is shown if the user names none: a picture of mountains and the sun, as an icon.

Code of this module draws it, black on white as the icons of `saevit.train.icons`. So no file is needed, and a
network that was trained on icons has shapes to choose from.
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
