"""A profile with made-up times."""

from dataclasses import replace

import pytest
from saevit.runs.profile import Profile, Run, Subject

from saevit.profile import profile
from saevit.runs.record import Conditions, Environment

ENVIRONMENT = Environment(
    python="3.13.0",
    torch="2.15.0",
    timm=None,
    saevit="0.2.0",
    os="Linux",
    machine="x86_64",
    cpu="a processor",
    cpu_capability="AVX2",
    governor=None,
    physical_cores=2,
    logical_cores=2,
    usable_cores=2,
    memory_bytes=2**34,
    accelerator=None,
    accelerator_driver=None,
    accelerator_toolkit=None,
    settings=(),
)
CONDITIONS = Conditions(
    img_size=(64, 64),
    batch_size=1,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=2,
    memory_format="contiguous",
)


@pytest.fixture
def timed() -> Profile:
    """A profile with made-up times, so that its text is the same everywhere."""
    counted = profile("saevit_pico", img_size=(64, 64), counters=["analytic"])
    timings = Run(
        latencies=(
            Subject(
                label="batch 1", conditions=CONDITIONS, samples=(0.010, 0.011, 0.012, 0.013, 0.010, 0.011)
            ),
            Subject(
                label="batch 8",
                conditions=replace(CONDITIONS, batch_size=8),
                failure="out of memory at batch 1",
            ),
        ),
        twin=(0.010, 0.010, 0.012, 0.014, 0.010, 0.011),
        rounds=6,
        min_time=0.1,
        seed=0,
        environment=ENVIRONMENT,
        started="2026-01-01T00:00:00+00:00",
        breakdown=CONDITIONS,
        breakdown_total=(0.010, 0.020),
        breakdown_plain=(0.009, 0.019),
    )
    rows = tuple(replace(row, seconds=(0.001, 0.002)) for row in counted.rows)
    return replace(counted, rows=rows, timings=timings)
