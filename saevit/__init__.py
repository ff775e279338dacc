"""SAEViT, a light hybrid of convolution and sparse attention: built, counted exactly, timed honestly.

The first use of a name loads its module; `parse`, `PRESETS`, `TimingOptions` and `VariantSpec` need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saevit.machine import usable_cores as usable_cores  # before torch can bind this thread to a core

if TYPE_CHECKING:
    from saevit.comparing.compare import compare as compare
    from saevit.measure.timing import TimingOptions as TimingOptions
    from saevit.model.fold import fold as fold
    from saevit.model.pyramid import SAEViT as SAEViT
    from saevit.model.pyramid import build as build
    from saevit.profiling import profile as profile
    from saevit.variant import PRESETS as PRESETS
    from saevit.variant import VariantSpec as VariantSpec
    from saevit.variant import parse as parse

__version__ = "0.2.0"
NETWORK = 2  # definition of the network; version 0.1 had another one, and files of it say no number
LOADED_ON_USE = {
    "PRESETS": "saevit.variant",
    "SAEViT": "saevit.model.pyramid",
    "TimingOptions": "saevit.measure.timing",
    "VariantSpec": "saevit.variant",
    "build": "saevit.model.pyramid",
    "compare": "saevit.comparing.compare",
    "fold": "saevit.model.fold",
    "parse": "saevit.variant",
    "profile": "saevit.profiling",
}
__all__ = [*LOADED_ON_USE]


def __getattr__(name: str) -> Any:
    if name not in LOADED_ON_USE:
        raise AttributeError(f"module 'saevit' has no attribute {name!r}")
    return getattr(import_module(LOADED_ON_USE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LOADED_ON_USE})
