"""Whether a variant can be looked at in the memory that is free, before any weight is allocated."""

from saevit.count import analytic
from saevit.count.memory import peak_elements
from saevit.errors import MemoryLimitError
from saevit.measure.memory import available_memory
from saevit.spec import VariantSpec

BYTES = 4  # fp32
RECORDED = 2  # what is recorded and worked out, and the pass itself: each at most the pass' peak


def check_memory(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    """Refuse what by its exact count cannot fit.

    Raises:
        MemoryLimitError: weights, live activations and what is recorded of them need more than is free.
    """
    weights = BYTES * analytic.total(spec, img_size).params
    needed = weights + BYTES * RECORDED * peak_elements(spec, img_size)
    free = available_memory("cpu")
    if needed > free:
        height, width = img_size
        raise MemoryLimitError(
            f"{spec} at {height} x {width} px needs {needed / 1e9:.3g} GB, {weights / 1e9:.3g} of them for "
            f"weights, and {free / 1e9:.3g} GB are free: nearest is a smaller --img-size or --width"
        )
