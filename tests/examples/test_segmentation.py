"""The worked example runs from a shell and ends in a picture."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "segmentation.py"
SMALL = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2,depths=1"


def test_it_trains_and_draws(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    arguments = ["--variant", SMALL, "--steps", "2", "--output", str(picture)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    found = re.search(r"IoU on 200 new images: mean (0\.\d{3}) \(ground 0\.\d{3}, disc", done.stdout)
    assert found is not None
    assert 0 < float(found[1]) < 1
    with Image.open(picture) as image:
        assert image.width > image.height > 500
