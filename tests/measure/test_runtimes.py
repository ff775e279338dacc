"""Devices, precisions and threads are checked before the clock starts; runtimes give a call or one line."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError, OptionError
from saevit.machine import most_threads
from saevit.measure import runtimes
from saevit.measure.conditions import (
    LAYOUTS,
    available_devices,
    check_dtype,
    example_input,
    pin_threads,
    place_network,
    precision_note,
    resolve_device,
)
from tests.measure.conftest import CONDITIONS

ACCELERATED = torch.accelerator.is_available()


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.drop(self.conv(x)))


def prepared(name: str, model: nn.Module, batch: int) -> Callable[[], object]:
    conditions = replace(CONDITIONS, runtime=name, batch_size=batch)
    example = example_input(conditions, 3)
    return runtimes.find_runtime(name).prepare(place_network(model, conditions), example, conditions)


def test_every_runtime_is_listed_under_its_name() -> None:
    assert all(runtimes.find_runtime(name).name == name for name in runtimes.RUNTIMES)


def test_an_unknown_runtime_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="'compiled' is not known: did you mean compile"):
        runtimes.find_runtime("compiled")


def test_eager_runs_the_model_for_inference() -> None:
    model = Net(4).train()
    conditions = CONDITIONS
    with torch.inference_mode():
        result = prepared("eager", model, 4)()
        expected = model.eval()(example_input(conditions, 3))
    assert isinstance(result, Tensor)
    torch.testing.assert_close(result, expected)


def test_weights_that_are_as_wanted_are_not_copied() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    placed = place_network(model, CONDITIONS)
    assert placed is not model
    assert [t.data_ptr() for t in placed.state_dict().values()] == [
        t.data_ptr() for t in model.state_dict().values()
    ]
    assert not any(p.requires_grad for p in placed.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert (placed.training, model.training) == (False, True)


def test_placing_leaves_the_model_alone() -> None:
    model = Net(4).train()
    placed = place_network(model, replace(CONDITIONS, dtype="bf16", memory_format="channels_last"))
    weight = next(placed.parameters())
    assert weight.dtype == torch.bfloat16
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not placed.training
    assert not weight.requires_grad
    assert model.training
    assert model.conv.weight.dtype == torch.float32
    assert model.conv.weight.requires_grad


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_example_is_what_the_conditions_say_and_always_the_same(memory_format: Any) -> None:
    conditions = replace(CONDITIONS, img_size=(6, 10), dtype="bf16", memory_format=memory_format)
    example = example_input(conditions, 5)
    assert (example.shape, example.dtype) == ((4, 5, 6, 10), torch.bfloat16)
    assert example.is_contiguous(memory_format=LAYOUTS[memory_format])
    assert torch.equal(example, example_input(conditions, 5))


@pytest.mark.skipif(ACCELERATED, reason="this machine has an accelerator")
def test_without_an_accelerator_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert resolve_device("auto") == "cpu"
    with pytest.raises(OptionError, match=r"device 'cuda' is not available: torch .* offers auto or cpu"):
        resolve_device("cuda")


@pytest.mark.parametrize(("name", "reason"), [("cuda:99", "is not available"), ("gpu", "is not known")])
def test_a_device_that_is_not_there_is_refused(name: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        resolve_device(name)


def test_with_two_accelerators_each_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda")
    )
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert available_devices() == ("cpu", "cuda:0", "cuda:1")
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(
        OptionError, match=r"'cuda:2' is not available: .* offers auto or cpu or cuda:0 or cuda:1"
    ):
        resolve_device("cuda:2")


def test_fp32_always_runs_and_an_unknown_dtype_names_the_nearest() -> None:
    assert check_dtype("cpu", "fp32") is torch.float32
    with pytest.raises(OptionError, match="'fp61' is not known: did you mean fp16"):
        check_dtype("cpu", "fp61")


def test_a_dtype_is_refused_when_the_device_cannot_compute_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    conv2d = torch.nn.functional.conv2d

    def no_half(image: Tensor, *rest: Any, **options: Any) -> Tensor:
        if image.dtype == torch.float16:
            raise RuntimeError('"slow_conv2d_cpu" not implemented for "Half".\nmore')
        return conv2d(image, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", no_half)
    check_dtype.cache_clear()
    with pytest.raises(OptionError) as caught:
        check_dtype("cpu", "fp16")
    check_dtype.cache_clear()
    message = '("slow_conv2d_cpu" not implemented for "Half"): choose from fp32, bf16'
    assert str(caught.value) == f"dtype 'fp16' does not run on cpu {message}"


def test_threads_are_pinned_and_restored_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), pin_threads(before + 1):
        1 / (before + 1 - torch.get_num_threads())  # fails only if the count was set
    assert torch.get_num_threads() == before
    for count in (0, -1, most_threads() + 1, 10**5, 10**18):
        with pytest.raises(OptionError, match=f"threads {count}: from 1 to"), pin_threads(count):
            pass
    assert torch.get_num_threads() == before


def test_a_compiler_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = _raising(RuntimeError("no kernel:\nlong trace"))
    monkeypatch.setattr(torch, "compile", lambda model, **options: failing)
    with pytest.raises(MeasureError, match=r"^torch.compile failed: no kernel; use --runtime eager$"):
        prepared("compile", Net(4), 1)


def test_running_out_of_memory_is_not_a_compiler_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **options: _raising(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        prepared("compile", Net(4), 1)


class Breaks(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        torch._dynamo.graph_break()
        return x + 1


class Restless(Net):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x) * self.passes


class Excepted(Net):
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Idle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class NotANumber(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stand in for inductor, which takes long: graphs run as they were traced. Returns their calls."""
    torch._dynamo.reset()
    calls: list[int] = []

    def compiler(graph: Any, inputs: Any) -> Callable[..., object]:
        return lambda *inputs: calls.append(1) or graph(*inputs)

    monkeypatch.setattr(torch._dynamo, "lookup_backend", lambda name: compiler)
    return calls


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Breaks, "torch.compile failed: "),
        (Excepted, "torch.compile failed: "),
        (Restless, "recompiles the network on every call"),
        (Idle, "compiled nothing, the network ran in eager mode"),
        (NotANumber, "outputs are not finite"),
    ],
)
def test_what_is_not_compiled_as_a_whole_fails(
    model: Callable[..., nn.Module], message: str, quick_compiler: list[int]
) -> None:
    with torch.inference_mode(), pytest.raises(MeasureError, match=message) as caught:
        prepared("compile", model() if model is Idle else model(4), 1)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_compiled_runs_what_was_compiled(quick_compiler: list[int]) -> None:
    with torch.inference_mode():
        call = prepared("compile", Net(4), 1)
        before = len(quick_compiler)
        call()
    assert len(quick_compiler) == before + 1


@pytest.mark.parametrize("way", ["config", "stance", "errors"])
def test_a_compiler_that_is_turned_off_or_gives_up_fails(
    way: str, quick_compiler: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for compiled times must not get eager ones."""
    if way == "config":
        monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    elif way == "errors":
        failing = _raising(RuntimeError("no C++ compiler"))
        monkeypatch.setattr(
            torch._dynamo, "lookup_backend", lambda name: lambda graph, inputs: failing(inputs)
        )
    torch.compiler.set_stance("force_eager" if way == "stance" else "default")
    off = torch._dynamo.config.patch({"disable": way == "config", "suppress_errors": way == "errors"})
    try:
        with off, torch.inference_mode(), pytest.raises(MeasureError, match=r"^torch.compile ") as caught:
            prepared("compile", Net(4), 1)
    finally:
        torch.compiler.set_stance("default")
    assert ("TORCHDYNAMO_DISABLE=1" in str(caught.value)) == (way == "config")
    assert not quick_compiler


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["TORCH_COMPILE_DISABLE=1", "TORCHDYNAMO_DISABLE=1"])
def test_variables_that_turn_it_off_give_a_failed_row(variable: str, tmp_path: Path) -> None:
    name, _, value = variable.partition("=")
    model = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"
    quick = ("--img-size", "32", "--rounds", "1", "--min-time", "0.001", "--batch-size", "1", "--json", "-")
    done = subprocess.run(
        [sys.executable, "-m", "saevit_cli", "profile", model, "--runtime", "eager,compile", *quick],
        env=os.environ | {name: value, "SAEVIT_STORE": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    eager, compiled = json.loads(done.stdout)["timings"]["latencies"]
    assert done.returncode == 1
    assert (len(eager["samples"]), eager["failure"], compiled["samples"]) == (1, None, [])
    assert f"{name}={value}" in compiled["failure"]


def test_outputs_that_are_not_finite_fail_in_eager_too() -> None:
    with pytest.raises(MeasureError, match="outputs are not finite"):
        prepared("eager", NotANumber(4), 1)


def test_tf32_is_told_on_cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "conv", SimpleNamespace(fp32_precision="tf32"))
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(fp32_precision="ieee"))
    on_cuda = replace(CONDITIONS, device="cuda")
    assert precision_note(on_cuda) == "fp32 with convolutions in tf32, as set in torch"
    assert precision_note(replace(on_cuda, dtype="fp16")) is None
    assert precision_note(CONDITIONS) is None


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++") and not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch importing its own compiler
def test_the_ninth_model_of_a_class_is_still_compiled() -> None:
    """Dynamo's limit of 8 a class would have it, and the ninth batch size, run eagerly without a word."""
    torch._dynamo.reset()
    runs: Counter[str] = Counter()
    for index in range(9):
        model = Net(4)
        with torch.inference_mode():
            call = prepared("compile", model, 2 + index)
            before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            result = call()
            expected = model.eval()(example_input(replace(CONDITIONS, batch_size=2 + index), 3))
        torch.testing.assert_close(result, expected)
        runs["compiled"] = before
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before  # nothing left to compile
    assert runs["compiled"] >= 9


def _raising(error: Exception) -> Callable[[Tensor], None]:
    def call(x: Tensor) -> None:
        raise error

    return call
