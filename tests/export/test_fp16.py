"""Files in fp16: their weights are float16, and both runtimes compute nearly what the network does."""

from pathlib import Path

import pytest
import torch

from saevit.export.exporter import FORMATS, export_network
from saevit.models import convert_for_inference
from tests.export.conftest import SIZE, network_of
from tests.model.networks import error, noise

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")


def test_weights_are_stored_in_float16_and_outputs_are_near_the_network(tmp_path: Path) -> None:
    network = network_of()
    paths = {"onnx": tmp_path / "a.onnx", "openvino": tmp_path / "a.xml"}
    found = export_network(network, paths, precision="fp16")
    assert (found.failures, found.dtype) == ({}, "fp16")
    x = noise(3, 3, *SIZE)
    for name, path in paths.items():
        outputs = torch.from_numpy(FORMATS[name].read(path)(x))
        assert 1e-5 < error(outputs, convert_for_inference(network.model)(x)) < 1e-2
    graph = onnx.load(paths["onnx"])
    onnx.checker.check_model(graph)
    kinds = {weight.data_type for weight in graph.graph.initializer if len(weight.raw_data) > 8}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds
    weights = sum(weight.numel() for weight in convert_for_inference(network.model).parameters())
    assert (tmp_path / "a.bin").stat().st_size < 2.2 * weights


def test_a_weight_beyond_float16_is_named(tmp_path: Path) -> None:
    network = network_of()
    with torch.no_grad():
        network.model.get_parameter("head.fc.bias").fill_(1e5)
    found = export_network(network, {"onnx": tmp_path / "a.onnx"}, precision="fp16")
    assert found.failures == {"onnx": "head.fc.bias reaches 1e+05, above 65504, the largest value of fp16"}
    assert not list(tmp_path.iterdir())
