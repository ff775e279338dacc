"""SAEViT, a light hybrid of convolution and sparse attention: built, counted exactly, timed honestly.

`parse`, `PRESETS` and `VariantSpec` need no torch: the first use of one of the other names loads its module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saevit.machine import usable_cores as usable_cores  # before torch can bind this thread to a core
from saevit.variant import PRESETS as PRESETS
from saevit.variant import VariantSpec as VariantSpec
from saevit.variant import parse as parse

if TYPE_CHECKING:
    from saevit.comparing.compare import compare as compare
    from saevit.measure.timing import TimingOptions as TimingOptions
    from saevit.model.fold import fold as fold
    from saevit.model.pyramid import SAEViT as SAEViT
    from saevit.model.pyramid import build as build
    from saevit.profiling import profile as profile

__version__ = "0.2.0"
NETWORK = 2  # definition of the network; version 0.1 had another one, and files of it say no number
LOADED_ON_USE = {
    "SAEViT": "saevit.model.pyramid",
    "TimingOptions": "saevit.measure.timing",
    "build": "saevit.model.pyramid",
    "compare": "saevit.comparing.compare",
    "fold": "saevit.model.fold",
    "profile": "saevit.profiling",
}
__all__ = ["PRESETS", "VariantSpec", "parse", *LOADED_ON_USE]


def __getattr__(name: str) -> Any:
    if name not in LOADED_ON_USE:
        raise AttributeError(f"module 'saevit' has no attribute {name!r}")
    return getattr(import_module(LOADED_ON_USE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LOADED_ON_USE})
