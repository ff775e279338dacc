"""A profile with made-up times, and the attention of small networks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from saevit.attention.findings import Attention
from saevit.attention.look import Choice, look_at
from saevit.attention.network import open_network
from saevit.measure.breakdown import ModuleTimes
from saevit.measure.operator_times import OperatorTimes
from saevit.measure.runtime_profiles import RunOperator
from saevit.profiling import Profile, profile
from saevit.runs.record import Conditions, Environment
from saevit.runs.run import TWIN, Run, Subject
from saevit.variant import parse

Look = Callable[..., Attention]
QUERY = (256, 300)
SMALL = "saevit_pico:dims=16-24-36-48,depths=2-2-3-2,heads=2-2-3-4,rates=8-4-3-1,ratios=2"
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


OPERATOR_TIMES = OperatorTimes(
    operators=tuple(
        RunOperator(name=name, kind=kind, path=path, macs=macs, moved_bytes=moved, seconds=seconds)
        for name, kind, path, macs, moved, seconds in (
            ("a", "convolution 1 x 1", "stages.0.blocks.0.ffn.fc1", 10**8, 10**6, (0.003, 0.002, 0.009)),
            ("b", "convolution 1 x 1", "stages.1.blocks.0.ffn.fc1", 10**8, 10**6, (0.001, 0.001, 0.002)),
            ("c", "depth-wise convolution 3 x 3", "stages.0.blocks.0.ffn.local", 10**6, 10**6, (0.001,) * 3),
            ("d", "reorder", "", 0, 10**6, (0.001, 0.002, 0.001)),
        )
    ),
    watched=(0.007, 0.008, 0.009),
    plain=(0.006, 0.007, 0.008),
    product=(0.002, 0.001, 0.003),
    triad=(0.004, 0.001, 0.002),
    graph_macs=2 * 10**8 + 10**6,
    conditions=replace(CONDITIONS, runtime="onnxruntime"),
    environment=ENVIRONMENT,
    started="2026-01-01T00:00:00+00:00",
)


def with_twin(subjects: Sequence[Subject], samples: tuple[float, ...]) -> tuple[Subject, ...]:
    """The subjects and a second timing of the first one."""
    return (*subjects, replace(subjects[0], label="again", quantity=TWIN, samples=samples))


@pytest.fixture
def timed() -> Profile:
    """A profile with made-up times, so that its text is the same everywhere."""
    counted = profile("saevit_pico", img_size=(64, 64), counters=["analytic"])
    first = Subject(
        label="batch 1",
        name="batch 1",
        conditions=CONDITIONS,
        samples=(0.010, 0.011, 0.012, 0.013, 0.010, 0.011),
    )
    second = Subject(
        label="batch 8",
        name="batch 8",
        conditions=replace(CONDITIONS, batch_size=8),
        failure="out of memory at batch 1",
    )
    run = Run(
        subjects=with_twin([first, second], (0.010, 0.010, 0.012, 0.014, 0.010, 0.011)),
        rounds=6,
        min_time=0.1,
        seed=0,
        environment=ENVIRONMENT,
        started="2026-01-01T00:00:00+00:00",
    )
    times = ModuleTimes(
        modules={},
        watched=(0.010, 0.020),
        plain=(0.009, 0.019),
        conditions=CONDITIONS,
        environment=ENVIRONMENT,
        started=run.started,
    )
    rows = tuple(replace(row, seconds=(0.001, 0.002)) for row in counted.rows)
    return replace(counted, rows=rows, run=run, module_times=times)


@pytest.fixture
def by_operator(timed: Profile) -> Profile:
    """The profile with made-up times of operators in place of those of modules."""
    return replace(timed, by="op", module_times=None, operator_times=(OPERATOR_TIMES,))


@pytest.fixture(scope="session")
def look() -> Look:
    """Return a function that looks at the drawing with a network far from uniform."""

    def run(text: str = SMALL, size: int = 72, **choice: object) -> Attention:
        net = open_network(text if text.startswith("timm:") else parse(text), (size, size))
        torch.manual_seed(0)
        for name, parameter in net.model.named_parameters():
            if name.endswith(("qkv.weight", "score.weight")):
                parameter.data.normal_(0, 0.3)
        return look_at(net, [], Choice(**choice))  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def attention(look: Look) -> Attention:
    """Everything of one network, one query."""
    return look(queries=[QUERY])
