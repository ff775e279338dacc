"""Weights that come with the package, made by `benchmarks/ship_weights.py`.

`saevit visualize-attention` shows them if nothing else is given; `saevit.checkpoint` reads them as any file.
"""

from pathlib import Path

SHIPPED = Path(__file__).with_name("saevit_pico-icons-128px.safetensors")
SHIPPED_MODEL = "saevit_pico:classes=226"
SHIPPED_IMG_SIZE = (128, 128)
