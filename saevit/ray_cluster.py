"""The connection to a Ray cluster, on which a search or trials run."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from saevit.errors import need


@contextmanager
def connect_ray() -> Iterator[ModuleType]:
    """Yield the module `ray`, connected to the cluster that it finds, or to this machine as a cluster.

    Raises:
        MissingPackageError: Ray is not installed.
    """
    ray = need("ray", "explore")
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(logging_level="ERROR", include_dashboard=False)
    try:
        yield ray
    finally:
        if is_ours:
            ray.shutdown()
