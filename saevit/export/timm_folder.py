"""Weights in timm's layout: a folder that `timm.create_model("local-dir:FOLDER")` loads.

A network of SAEViT also needs `import saevit.model.timm_registry`, which registers its name.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saevit.baselines import timm_models
from saevit.checkpoint import About, save_checkpoint
from saevit.errors import need
from saevit.export.formats import Content, Runner, count_operators
from saevit.export.model_card import write_card
from saevit.files import ICONS
from saevit.loading import LoadedNetwork
from saevit.models import read_spec, read_timm_model
from saevit.runs.run import MeasuredTop1

CONFIG, CARD, WEIGHTS = "config.json", "README.md", "model.safetensors"
TIMM_FILES = (CONFIG, CARD, WEIGHTS)
KEPT = ("fixed_input_size", "first_conv", "classifier")  # of timm's own configuration


def write_config(about: About) -> str:
    """Return config.json: how timm builds the network and prepares its images."""
    need("saevit.model.timm_registry")
    if read_spec(about.model):
        name, settings = "saevit", {"variant": about.model}
    else:
        name, settings = timm_models.name_architecture(read_timm_model(about.model).name), {}
    known = need("timm.models").get_pretrained_cfg(name).to_dict()
    config: dict[str, Any] = {
        "architecture": name,
        "num_classes": about.num_classes,
        "model_args": settings,
        "pretrained_cfg": {
            **{key: known[key] for key in KEPT if key in known},
            "num_classes": about.num_classes,
            "input_size": (about.in_chans, *about.img_size),
            "interpolation": "bicubic",
            **({"crop_pct": 1.0} if is_whole(about.data) else {}),
            "mean": about.mean,
            "std": about.std,
        },
    }
    if about.class_names:
        config["label_names"] = about.class_names
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def is_whole(data: str) -> bool:
    """Return whether evaluation keeps these images whole, without timm's usual crop."""
    return data == "digits" or data.startswith(ICONS)


def write_timm_folder(network: LoadedNetwork, folder: Path, top1s: Sequence[MeasuredTop1]) -> Content:
    """Write weights, config.json and a model card into an existing folder.

    Of the source of the training data only the last part is kept, because such folders are published.
    """
    about = replace(network.about, data=shorten_source(network.about.data))
    save_checkpoint(network.model.state_dict(), about, folder / WEIGHTS)
    (folder / CONFIG).write_text(write_config(about), encoding="utf-8")
    card = write_card(replace(network, about=about), folder / WEIGHTS, top1s)
    (folder / CARD).write_text(card, encoding="utf-8")
    layers = (type(module).__name__ for module in network.model.modules() if not [*module.children()])
    return Content(operators=count_operators(layers), versions={"timm": need("timm").__version__})


def shorten_source(data: str) -> str:
    """Return a source of images without the folders that its files are in."""
    kind = ICONS if data.startswith(ICONS) else ""
    path = Path(data.removeprefix(kind))
    return f"{kind}{path.name if kind or path.is_absolute() else path}" if data else ""


def read_timm_folder(folder: Path) -> Runner:
    """Load a folder as a user of timm does."""
    model = need("timm").create_model(f"local-dir:{folder}", pretrained=True).eval()

    def compute(x: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model(x))

    return compute
