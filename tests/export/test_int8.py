"""Files in int8: both runtimes compute nearly what the network does, and their accuracy is measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saevit.errors import OptionError
from saevit.export import verify
from saevit.export.exporter import FORMATS, check_request, export_network
from saevit.export.int8 import make_noise_calibration
from saevit.models import convert_for_inference
from saevit.train.file_accuracy import CALIBRATION_IMAGES, choose_calibration, evaluate_files
from saevit.train.image_data import ImageData
from tests.export.conftest import SIZE, network_of
from tests.model.networks import SHALLOW, error

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

NAMES = tuple("abcdefghij")
MADE = network_of(replace(SHALLOW, rates=(4, 3, 2, 1)))  # its maps are padded, so some of its scores are -inf
NETWORK = replace(MADE, about=replace(MADE.about, class_names=NAMES))


def made_up_data(split: str, images: int) -> ImageData:
    """Noise with the classes of the network."""

    def read(index: int) -> Image.Image:
        pixels = np.random.default_rng(index).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return ImageData(
        name="made up",
        split=split,  # type: ignore[arg-type]
        class_names=NAMES,
        labels=[index % len(NAMES) for index in range(images)],
        fingerprint="",
        statement="",
        read=read,
        crop_pct=1.0,
    )


def test_both_formats_are_near_the_network_and_their_accuracy_is_measured(tmp_path: Path) -> None:
    paths = {"onnx": tmp_path / "a.onnx", "openvino": tmp_path / "a.xml"}
    data = made_up_data("validation", 6)
    calibration = choose_calibration(NETWORK.about, made_up_data("train", 20), data)
    assert (len(calibration.images), calibration.source) == (20, "20 images of made up (train)")
    found = export_network(NETWORK, paths, precision=calibration)
    assert (found.failures, found.dtype) == ({}, "int8")
    x = torch.stack([*calibration.compared.values()])
    expected = convert_for_inference(NETWORK.model)(x)
    for name, path in paths.items():
        assert 1e-5 < error(torch.from_numpy(FORMATS[name].read(path)(x)), expected) < 0.2
    graph = onnx.load(paths["onnx"])
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.graph.node}
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert said["int8"] == "calibrated on 20 images of made up (train)"
    evaluated = evaluate_files(NETWORK, found, data)
    assert [one.format for one in evaluated.accuracies] == ["onnx", "openvino"]
    hits = int((expected.argmax(1) == torch.arange(6)).sum())
    assert {(one.of_network.hits, one.top1.total) for one in evaluated.accuracies} == {(hits, 6)}
    assert evaluated.evaluated_on == "made up (validation)"


def test_noise_to_calibrate_with_is_not_what_is_compared() -> None:
    noise = make_noise_calibration(3, (8, 8))
    assert noise.images.shape == (8, 3, 8, 8)
    assert not any(torch.equal(a, b) for a in noise.images for b in noise.compared.values())
    assert len(noise.images) < CALIBRATION_IMAGES


def test_a_file_of_another_network_is_refused_in_int8_too() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    images = {name: torch.rand(3, 8, 8) for name in "ab"}
    expected = verify.compute_reference(model, images, {}, 1)
    verify.compare_outputs(lambda x: model(x).detach().numpy() * 1.1, expected, verify.LIMITS["int8"])
    with pytest.raises(verify.MeasureError, match=r"above the limit of 0\.3"):
        verify.compare_outputs(lambda x: model(x).detach().numpy() * 2, expected, verify.LIMITS["int8"])


def test_a_format_without_int8_is_refused() -> None:
    with pytest.raises(
        OptionError, match="pt2 is not written in int8: use --format onnx or openvino or exec"
    ):
        check_request(["onnx", "pt2"], batch=None, opset=20, dtype="int8")
