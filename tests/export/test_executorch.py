"""ExecuTorch: its files compute what the folded network computes, and it is timed beside other runtimes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saevit.export.exporter import FORMATS, export_network
from saevit.export.int8 import make_noise_calibration
from saevit.measure.rounds import TimedModel, measure
from saevit.models import convert_for_inference
from tests.export.conftest import SIZE, network_of
from tests.measure.conftest import CONDITIONS
from tests.model.networks import SHALLOW, error, noise

pytest.importorskip("executorch")


@pytest.mark.slow  # half a minute, most of it spent in its exporter
def test_a_program_computes_what_the_network_computes(tmp_path: Path) -> None:
    network = network_of()
    found = export_network(network, {"executorch": tmp_path / "a.pte"})
    assert not found.failures
    assert found.written[0].content.operators["XNNPACK"] > 1
    x = noise(3, 3, *SIZE)  # the file accepts one image
    outputs = torch.from_numpy(FORMATS["executorch"].read(tmp_path / "a.pte")(x))
    assert error(outputs, convert_for_inference(network.model)(x)) < 1e-4


@pytest.mark.slow
def test_a_program_in_int8_is_near_the_network_with_padded_maps(tmp_path: Path) -> None:
    network = network_of(replace(SHALLOW, rates=(4, 3, 2, 1)))  # some of its scores are -inf
    noise_images = make_noise_calibration(3, SIZE)
    found = export_network(network, {"executorch": tmp_path / "a.pte"}, precision=noise_images)
    assert not found.failures
    x = torch.stack([*noise_images.compared.values()])
    outputs = torch.from_numpy(FORMATS["executorch"].read(tmp_path / "a.pte")(x))
    assert 1e-3 < error(outputs, convert_for_inference(network.model)(x)) < 0.2
    assert all(1e-3 < each.relative < 0.2 for each in found.written[0].differences)


@pytest.mark.slow
def test_it_is_timed_in_the_same_run() -> None:
    net = convert_for_inference(network_of().model)
    here = replace(CONDITIONS, img_size=SIZE, batch_size=2)
    pairs = (("eager", "fp32"), ("executorch", "fp32"), ("executorch", "int8"))
    subjects = [
        TimedModel(name="a", build=lambda: net, conditions=replace(here, runtime=name, dtype=dtype))
        for name, dtype in pairs
    ]
    run = measure(subjects, rounds=2, min_time=0.001)
    assert [len(timing.samples) for timing in run.timed] == [2, 2, 2]
    assert run.environment.executorch
