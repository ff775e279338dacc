"""SAEViT, a light hybrid of convolution and sparse attention: built, counted exactly, timed honestly.

`parse`, `PRESETS` and `VariantSpec` need no torch: the first use of `SAEViT`, `build` or `fold` loads it.
"""

from typing import TYPE_CHECKING, Any

from saevit.machine import usable_cores as usable_cores  # before torch can bind this thread to a core
from saevit.variant import PRESETS as PRESETS
from saevit.variant import VariantSpec as VariantSpec
from saevit.variant import parse as parse

if TYPE_CHECKING:
    from saevit.model.fold import fold as fold
    from saevit.model.pyramid import SAEViT as SAEViT
    from saevit.model.pyramid import build as build

__version__ = "0.2.0"
NETWORK = 2  # definition of the network; version 0.1 had another one, and files of it say no number


def __getattr__(name: str) -> Any:
    if name in ("SAEViT", "build"):
        from saevit.model import pyramid

        return getattr(pyramid, name)
    if name == "fold":
        from saevit.model.fold import fold

        return fold
    raise AttributeError(f"module 'saevit' has no attribute {name!r}")
