"""On an accelerator: what a form computes, how it is trained and timed, and what memory allows."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from saevit.errors import MemoryLimitError
from saevit.machine import free_memory, is_out_of_memory
from saevit.measure import runtimes
from saevit.measure.conditions import DTYPES, LAYOUTS, example_input, place_network, synchronizer
from saevit.measure.rounds import TimedModel, measure
from saevit.measure.timing import TimingOptions
from saevit.model.fold import fold
from saevit.profiling import profile
from saevit.train.state import TrainingRun
from tests.measure.conftest import CONDITIONS
from tests.model.networks import SMALL, SWITCHES, error, noise, trained
from tests.train.tiny import MODEL, RECIPE, squares
from tests.train.tiny import trained as train

pytestmark = pytest.mark.gpu
FOUND = torch.accelerator.current_accelerator(check_available=True)
DEVICE = FOUND.type if FOUND else "cpu"
HERE = replace(CONDITIONS, device=DEVICE, img_size=(64, 80))
# On a CPU the same networks, of three seeds, are off by up to 0.10 in bf16 and 0.011 in fp16.
LIMITS = {"fp32": 1e-5, "bf16": 0.16, "fp16": 0.02}


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """Let fp32 be fp32, not TF32, and give memory back."""
    backends = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    yield
    for backend, precision in zip(backends, before, strict=True):
        backend.fp32_precision = precision
    torch.accelerator.empty_cache()


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("is_folded", [False, True], ids=["defined", "folded"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())
def test_every_form_is_near_float64(
    switch: dict[str, object], layout: str, is_folded: bool, dtype: str
) -> None:
    network = trained(replace(SMALL, **switch))  # type: ignore[arg-type]
    conditions = replace(HERE, dtype=dtype, memory_format=layout)
    placed = place_network(fold(network) if is_folded else network, conditions)
    for shape in ((1, 64, 64), (4, 70, 97)):
        x = noise(shape[0], network.spec.in_chans, *shape[1:])
        with torch.inference_mode():
            expected = copy.deepcopy(network).double()(x.double())
            there = x.to(DEVICE, DTYPES[dtype]).contiguous(memory_format=LAYOUTS[layout])
            y = placed(there)
        assert y.device.type == DEVICE
        assert y.dtype == DTYPES[dtype]
        assert error(y, expected) < LIMITS[dtype]


def test_a_network_is_folded_where_it_is() -> None:
    network = trained(SMALL)
    x = noise(2, 3, 64, 80)
    with torch.inference_mode():
        expected = fold(network)(x)
        folded = fold(network.to(DEVICE))
        assert {parameter.device.type for parameter in folded.parameters()} == {DEVICE}
        assert error(folded(x.to(DEVICE)), expected) < 1e-5


@pytest.mark.filterwarnings("default")  # the compiler warns of things of its own
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("sampling", ["adaptive", "mix"])
def test_the_compiled_form_is_near_float64(sampling: str, dtype: str) -> None:
    pytest.importorskip("triton")
    torch.compiler.reset()
    network = trained(replace(SMALL, sampling=sampling))
    conditions = replace(HERE, dtype=dtype, runtime="compile", img_size=(70, 97))
    x = example_input(conditions, 3)
    with torch.inference_mode():
        call = runtimes.find_runtime("compile").prepare(
            place_network(fold(network), conditions), x, conditions
        )
        y = call()
    assert isinstance(y, Tensor)
    assert error(y, network.double()(x.double().cpu())) < LIMITS[dtype]


class Slow(nn.Module):
    """Launches work that takes far longer than its launch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4096, 4096) / 4096)

    def forward(self, x: Tensor) -> Tensor:
        y = self.weight
        for _ in range(50):
            y = y @ self.weight
        return y + x.mean()


def test_synchronizing_waits_for_the_work() -> None:
    placed, done = place_network(Slow(), HERE), torch.Event(DEVICE)
    x, synchronize = example_input(HERE, 3), synchronizer(DEVICE)
    with torch.inference_mode():
        placed(x)  # sets the device up, and may wait for the work
        synchronize()
        placed(x)
        done.record()
        if DEVICE == "cuda":
            assert not done.query()
        synchronize()
        assert done.query()


def test_a_sample_lasts_as_long_as_the_work() -> None:
    subject = TimedModel(name="slow", build=Slow, conditions=HERE)
    (timing,) = measure([subject], rounds=3, min_time=0.01).timed
    flops = 50 * 2 * 4096**3
    assert min(timing.samples) > flops / 5e15  # no device is that fast


class Greedy(nn.Module):
    """Needs a third of the device's free memory for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.each = free_memory(DEVICE) // 3  # bytes

    def forward(self, x: Tensor) -> Tensor:
        held = torch.empty(len(x) * self.each, dtype=torch.uint8, device=x.device)
        return x * self.weight + held[0] * 0


def test_out_of_memory_halves_the_batch() -> None:
    conditions = replace(HERE, img_size=(8, 8), batch_size=8)
    (timing,) = measure(
        [TimedModel(name="greedy", build=Greedy, conditions=conditions)],
        rounds=2,
        min_time=0.001,
    ).timed
    assert timing.conditions.batch_size == 2
    assert "out of memory at batch 8: timed at batch 2" in timing.notes
    assert len(timing.samples) == 2


def test_an_allocation_that_fails_is_known_as_such() -> None:
    with pytest.raises(Exception, match="memory") as caught:
        torch.empty(10**15, dtype=torch.uint8, device=DEVICE)
    assert is_out_of_memory(caught.value)


def test_free_memory_is_the_devices() -> None:
    before = free_memory(DEVICE)
    held = torch.zeros(2**28, dtype=torch.uint8, device=DEVICE)
    assert before - free_memory(DEVICE) >= held.nbytes // 2
    with pytest.raises(MemoryLimitError, match=rf"GB are free on {DEVICE}: nearest is --batch-size"):
        profile(
            "saevit_pico", counters=["analytic"], timing=TimingOptions(device=DEVICE, batch_sizes=(10**8,))
        )


@pytest.mark.parametrize("dtype", LIMITS)
def test_a_profile_is_of_the_device(dtype: str) -> None:
    plan = TimingOptions(device="auto", batch_sizes=(1, 2), rounds=3, min_time=0.001)
    found = profile(
        "saevit_pico:depths=1", img_size=(64, 64), dtype=dtype, counters=["analytic"], timing=plan
    )  # type: ignore[arg-type]
    assert found.run is not None
    assert found.run.environment.accelerator
    assert found.run.environment.accelerator_toolkit or DEVICE != "cuda"
    for latency in found.run.timed:
        assert (latency.conditions.device, latency.failure) == (DEVICE, None)
        assert len(latency.samples) == 3


@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
def test_an_epoch_of_training(amp: str, tmp_path: Path) -> None:
    run = TrainingRun(model=MODEL, data=str(squares(tmp_path / "squares")), amp=amp)
    recipe = replace(RECIPE, epochs=1)
    here = train(run, recipe, tmp_path / "here", device=DEVICE)
    there = train(replace(run, amp="none"), recipe, tmp_path / "cpu")
    assert here.rows[0].train_loss == pytest.approx(there.rows[0].train_loss, rel=0.1)
    assert here.rows[0].val_loss is not None
    weights = torch.load(tmp_path / "here" / "last.pt", weights_only=True)["model"]
    assert all(weight.isfinite().all() for weight in weights.values())
    if amp == "fp16":  # the scale of the loss grew or was halved, and no step was lost for good
        assert torch.load(tmp_path / "here" / "last.pt", weights_only=True)["scaler"]["scale"] > 0
