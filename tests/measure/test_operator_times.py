"""Times of a runtime's operators come from its own profile, add up, and belong to modules of the network."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from saevit.count.breakdown_lines import group_modules
from saevit.count.torch_counter import count_torch
from saevit.errors import OptionError
from saevit.measure.conditions import place_network
from saevit.measure.onnx_graph import read_graph
from saevit.measure.operator_times import OperatorTimes, time_operators
from saevit.measure.roofs import Roofs, find_roofs
from saevit.measure.runtime_profiles import PASSES, split_means
from saevit.measure.runtimes import write_graph
from saevit.model.fold import fold
from saevit.model.packed_conv import PackedConv
from saevit.model.pyramid import build
from saevit.variant import parse
from tests.measure.conftest import CONDITIONS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

ROUNDS, SIZE = 3, (64, 64)
FOLDED = fold(build(parse("saevit_pico:dims=8-8-16-16,heads=1,depths=1,rates=4-2-1-1,classes=10")))
HERE = replace(CONDITIONS, img_size=SIZE, batch_size=2, folded=True)
PLACED = place_network(FOLDED, HERE)


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def times(request: pytest.FixtureRequest) -> OperatorTimes:
    conditions = replace(HERE, runtime=request.param)
    return time_operators(PLACED, conditions, rounds=ROUNDS, min_time=0.002)


def test_every_round_has_a_sample_of_everything(times: OperatorTimes) -> None:
    assert {len(s) for s in (times.watched, times.plain, times.product, times.triad)} == {ROUNDS}
    assert {len(operator.seconds) for operator in times.operators} == {ROUNDS * PASSES}


def test_operators_take_no_more_than_the_pass_around_them(times: OperatorTimes) -> None:
    assert 0 < times.total.seconds <= max(times.watched)


def test_a_mean_over_passes_gives_the_time_of_each_pass() -> None:
    assert list(split_means([4.0, 3.0, 5.0])) == [2.0, 9.0]


def test_kinds_and_parts_add_up_to_the_total(times: OperatorTimes) -> None:
    parts = times.find_parts(group_modules(dict(FOLDED.named_modules()), "stage"))
    for groups in (times.kinds, parts):
        for name in ("operators", "macs", "moved_bytes", "seconds"):
            assert sum(getattr(g, name) for g in groups) == pytest.approx(getattr(times.total, name))
    assert [part.name for part in parts if part.macs] == ["stem", *(f"stages.{i}" for i in range(4)), "head"]


def test_all_macs_of_the_network_are_in_its_operators(times: OperatorTimes) -> None:
    counted = 2 * sum(count_torch(FOLDED, (1, 3, *SIZE)).macs.values())
    assert times.total.macs == times.graph_macs == counted


def test_each_convolution_is_in_its_module(times: OperatorTimes) -> None:
    convolutions = {path: m for path, m in FOLDED.named_modules() if isinstance(m, PackedConv)}
    found = Counter(one.path for one in times.operators if "convolution" in one.kind)
    assert found == Counter(convolutions.keys())
    depth_wise = [one for one in times.operators if one.kind.startswith("depth-wise")]
    assert {one.path for one in depth_wise} == {p for p, m in convolutions.items() if m.groups > 1}


def test_only_what_the_runtime_inserted_has_no_module(times: OperatorTimes) -> None:
    assert {one.kind for one in times.operators if not one.path} <= {"reorder"}
    assert not any(one.kind.startswith("other") for one in times.operators)


def test_a_fused_convolution_is_in_the_module_of_its_weight() -> None:
    body = nn.Sequential(nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1))
    here = replace(HERE, img_size=(16, 16), folded=False)
    placed = place_network(body.eval(), here)
    for runtime in ("onnxruntime", "openvino"):
        found = time_operators(placed, replace(here, runtime=runtime), rounds=1, min_time=0.001)
        kinds = {one.path: one.kind for one in found.operators if one.macs}
        assert kinds == {"0": "convolution 3 x 3", "3": "convolution 1 x 1"}


def test_products_are_counted_with_the_sizes_of_the_graph() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 5, 2, stride=2)
            self.fc = nn.Linear(8, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(
                self.up(x).flatten(2).transpose(1, 2) @ x.flatten(2)[:, :, :8].repeat(1, 2, 1)[:, :5]
            )

    graph = read_graph(write_graph(Products().eval(), torch.zeros(2, 3, 4, 4)))
    macs = [node.macs for node in graph.nodes.values() if node.macs]
    assert macs == [2 * 3 * 16 * 5 * 4, 2 * 64 * 5 * 8, 2 * 64 * 8 * 7]


def test_roofs_meet_at_the_ridge() -> None:
    roofs = find_roofs(0.002, 0.001)
    assert roofs.limit(roofs.ridge) == pytest.approx(roofs.macs)
    assert roofs.limit(roofs.ridge / 2) == pytest.approx(roofs.macs / 2)
    assert roofs.limit(10 * roofs.ridge) == roofs.macs
    assert Roofs(macs=8.0, bandwidth=2.0).ridge == 4.0


def test_a_runtime_without_a_profile_is_refused() -> None:
    with pytest.raises(
        OptionError, match="runtime eager has no profile by operator: use --runtime onnxruntime"
    ):
        time_operators(FOLDED, replace(HERE, runtime="eager"))
