"""ExecuTorch: its files compute what the folded network computes, and it is timed beside other runtimes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saevit.export.exporter import FORMATS, export_network
from saevit.measure.rounds import TimedModel, measure
from saevit.models import convert_for_inference
from tests.export.conftest import SIZE, network_of
from tests.measure.conftest import CONDITIONS
from tests.model.networks import error, noise

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
def test_it_is_timed_in_the_same_run() -> None:
    net = convert_for_inference(network_of().model)
    here = replace(CONDITIONS, img_size=SIZE, batch_size=2)
    names = ("eager", "executorch")
    subjects = [
        TimedModel(name="a", build=lambda: net, conditions=replace(here, runtime=name)) for name in names
    ]
    run = measure(subjects, rounds=2, min_time=0.001)
    assert [len(timing.samples) for timing in run.timed] == [2, 2]
    assert run.environment.executorch
