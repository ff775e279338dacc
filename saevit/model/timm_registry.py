"""SAEViT among timm's models: `import saevit.model.timm_registry`, then `timm.create_model("saevit_small")`.

Any other variant goes by its text: `timm.create_model("saevit", variant="saevit_small:width=1.25")`, as timm
splits names at a dot. `saevit_pico.icons` has the weights that come with the package. As in timm, the number
of classes of the weights is the default of their name.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from saevit.model.pyramid import SAEViT
from saevit.variant import MIN_IMG_SIZE, PRESETS, parse
from saevit.weights import SHIPPED, SHIPPED_IMG_SIZE, SHIPPED_MODEL

ANY, DEFAULT = "saevit", "saevit_tiny"

CONFIG = {
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "min_input_size": (3, MIN_IMG_SIZE, MIN_IMG_SIZE),
    "pool_size": (7, 7),
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "first_conv": "stem.conv1.conv",
    "classifier": "head.fc",
}
SHIPPED_CONFIG = {
    **CONFIG,
    "file": str(SHIPPED),
    "num_classes": parse(SHIPPED_MODEL).num_classes,
    "input_size": (3, *SHIPPED_IMG_SIZE),
    "pool_size": tuple(side // 32 for side in SHIPPED_IMG_SIZE),
    "crop_pct": 1.0,  # icons fill their images
}
default_cfgs = generate_default_cfgs(
    {name: dict(CONFIG) for name in (ANY, *PRESETS)}
    | {f"{SHIPPED_MODEL.partition(':')[0]}.icons": SHIPPED_CONFIG}
)


def build_variant(
    text: str,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float | None = None,
    global_pool: str = "avg",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> SAEViT:
    """Return a variant with timm's settings; None keeps the value of the variant."""
    spec = parse(text)
    given = {"num_classes": num_classes, "in_chans": in_chans, "drop_path_rate": drop_path_rate}
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    model = SAEViT(replace(spec, **known), drop_rate=drop_rate)
    if global_pool != "avg":
        model.reset_classifier(model.spec.num_classes, global_pool)
    return model.to(device=device, dtype=dtype)


def make_entry(name: str) -> Callable[..., Any]:
    """Return what timm calls for a name."""

    def create(pretrained: bool = False, **settings: Any) -> Any:
        text = settings.pop("variant", DEFAULT) if name == ANY else name
        stages = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
        return build_model_with_cfg(
            partial(build_variant, text), name, pretrained, feature_cfg=stages, **settings
        )

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"Build {name}." if name != ANY else "Build the variant whose text is `variant`."
    return create


for _name in (ANY, *PRESETS):
    register_model(make_entry(_name))
