"""ONNX Runtime and OpenVINO run the graph that is exported, at exactly the shape that is measured."""

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saevit.errors import MeasureError, MissingPackageError, OptionError
from saevit.measure import runtimes
from saevit.measure.conditions import example_input, place_network
from saevit.measure.rounds import TimedModel, measure
from saevit.measure.timing import TimingOptions, list_conditions
from saevit.model.fold import fold
from saevit.models import count_model
from saevit.variant import parse
from tests.measure.conftest import CONDITIONS
from tests.model.networks import error, trained

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

both = pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
FOLDED = fold(trained(parse("saevit_tiny:dims=8-16-24-32,heads=1-2-3-4,depths=1-1-1-1,classes=10")))
HERE = replace(CONDITIONS, img_size=(50, 72), batch_size=3, folded=True)


def outputs(name: str, made: Any) -> Tensor:
    """What a call of a runtime left in memory."""
    result = made()
    values = result.get_outputs()[0].numpy() if name == "onnxruntime" else result[0]
    return torch.from_numpy(values.copy())


def prepared(name: str, model: nn.Module, **more: Any) -> Callable[[], object]:
    conditions = replace(HERE, runtime=name, **more)
    example = example_input(conditions, 3)
    return runtimes.find_runtime(name).prepare(place_network(model, conditions), example, conditions)


@both
def test_it_computes_what_eager_computes_and_again(name: str) -> None:
    with torch.inference_mode():
        call = prepared(name, FOLDED)
        gc.collect()  # the images are the call's own to keep
        expected = FOLDED(example_input(HERE, 3))
        assert error(outputs(name, call), expected) < 1e-4
        assert error(outputs(name, call), expected) < 1e-4


def test_one_graph_serves_both_and_goes_with_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def write(model: nn.Module, shape: tuple[int, ...], is_dynamic: bool) -> "Graph":
        made.append(shape)
        return Graph(shape)

    monkeypatch.setattr(runtimes, "make_onnx_model", write)
    model, image = nn.Linear(2, 2), torch.zeros(1, 3, 4, 4)
    assert runtimes.write_graph(model, image) == runtimes.write_graph(model, image)
    runtimes.write_graph(model, torch.zeros(2, 3, 4, 4))
    runtimes.write_graph(nn.Linear(2, 2), image)
    assert made == [(1, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)]


class Graph:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def SerializeToString(self) -> bytes:  # noqa: N802, protobuf's name
        return bytes(self.shape)


@both
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"dtype": "bf16"}, "runs in fp32, int8, not in bf16: use --dtype fp32 or --runtime eager"),
        ({"device": "cuda"}, "runs on the CPU only, not on cuda: use --device cpu"),
        (
            {"memory_format": "channels_last"},
            "takes images in NCHW only, not in channels_last: use --memory-format",
        ),
    ],
)
def test_what_it_is_not_measured_on_is_refused(name: str, other: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^runtime {name} {message}"):
        runtimes.find_runtime(name).check(replace(HERE, **other))
    runtimes.find_runtime(name).check(HERE)


@both
def test_a_package_that_is_absent_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingPackageError, match=rf"^{name} is not installed: pip install 'saevit\[export\]'"
    ):
        runtimes.find_runtime(name).check(HERE)


@both
def test_int8_is_near_fp32_and_is_computed_in_int8(name: str) -> None:
    with torch.inference_mode():
        fp32 = outputs(name, prepared(name, FOLDED))
        int8 = outputs(name, prepared(name, FOLDED, dtype="int8"))
    assert 1e-5 < error(int8, fp32) < 0.2


def test_each_runtime_is_timed_in_the_precisions_that_it_has() -> None:
    options = TimingOptions(
        runtimes=("eager", "onnxruntime"), dtypes=("fp32", "bf16", "int8"), batch_sizes=(1,), device="cpu"
    )
    found = list_conditions(count_model("saevit_pico", (64, 64))[0], (64, 64), "fp32", options)
    assert [(one.runtime, one.dtype) for one in found] == [
        ("eager", "fp32"),
        ("eager", "bf16"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
    ]
    with pytest.raises(OptionError, match="eager runs in fp32, bf16, fp16, not in int8: use"):
        list_conditions(
            count_model("saevit_pico", (64, 64))[0],
            (64, 64),
            "fp32",
            replace(options, runtimes=("eager",)),
        )


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x  # branches on values: no graph has that


@both
def test_a_network_that_cannot_be_written_is_one_line(name: str) -> None:
    with pytest.raises(MeasureError, match=r"^torch cannot write the network as ONNX: ") as caught:
        prepared(name, Refuses())
    assert "\n" not in str(caught.value)


class NotANumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) / 0


@both
def test_outputs_that_are_not_finite_fail(name: str) -> None:
    with torch.inference_mode(), pytest.raises(MeasureError, match=r"^the outputs are not finite"):
        prepared(name, NotANumber())


def test_another_provider_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session(runtimes.need("onnxruntime").InferenceSession):  # type: ignore[misc]
        def get_providers(self) -> list[str]:
            return ["SomeExecutionProvider", *super().get_providers()]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    with (
        torch.inference_mode(),
        pytest.raises(MeasureError, match="runs the network on SomeExecutionProvider, CPU"),
    ):
        prepared("onnxruntime", FOLDED)


def test_runtimes_stand_in_one_interleaved_run() -> None:
    def build() -> nn.Module:
        return FOLDED

    names = ("eager", "onnxruntime", "openvino")
    subjects = [TimedModel(name="a", build=build, conditions=replace(HERE, runtime=name)) for name in names]
    failing = TimedModel(name="b", build=Refuses, conditions=replace(HERE, runtime="openvino"))
    run = measure([*subjects, failing], rounds=2, min_time=0.001)
    assert [len(timing.samples) for timing in run.timed] == [2, 2, 2, 0]
    assert (run.timed[-1].failure or "").startswith("torch cannot write the network as ONNX: ")
    assert run.environment.onnxruntime
    assert run.environment.openvino
