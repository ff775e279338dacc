"""Files of every format compute what the folded network does, say what they are, and appear whole or not."""

import itertools
import json
import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from saevit.errors import MeasureError, OptionError
from saevit.export import exporter, verify
from saevit.export.exporter import FORMATS, Export, Exported, export_network
from saevit.export.formats import Content, ExportInput, Format, Runner
from saevit.export.onnx import ONNX, OPSETS
from saevit.export.torch_export import PROPERTIES
from saevit.files import owned
from saevit.loading import LoadedNetwork, load_network
from saevit.models import IMAGENET_MEAN, IMAGENET_STD, convert_for_inference
from saevit.variant import KEYS, PRESETS
from tests.export.conftest import SIZE, network_of, timm_network
from tests.model.networks import SHALLOW, SWITCHES, error, noise

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")

ENDINGS = {"onnx": ".onnx", "pt2": ".pt2", "openvino": ".xml"}
FLAT = replace(SHALLOW, attention="none", ffn="mlp")  # few operators: quick to write
VARIANTS = {
    "adaptive": replace(SHALLOW, rates=(4, 3, 2, 1)),
    "mix": replace(SHALLOW, rates=(5, 2, 3, 1), sampling="mix", kernel=5),
    "average, mlp": replace(SHALLOW, rates=(5, 2, 3, 1), sampling="average", ffn="mlp"),
    "stride, no local": replace(SHALLOW, rates=(5, 2, 3, 2), sampling="stride", local="none"),
}


@dataclass(frozen=True)
class Written:
    """A variant in every format."""

    folder: Path
    network: LoadedNetwork
    found: Export

    @property
    def of_format(self) -> dict[str, Exported]:
        """What was written, by format."""
        return {one.format: one for one in self.found.written}


def write(network: LoadedNetwork, folder: Path, *names: str, **more: Any) -> Written:
    paths = {name: folder / f"a{ENDINGS[name]}" for name in names or ENDINGS}
    return Written(folder, network, export_network(network, paths, **more))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            spec, id=name, marks=pytest.mark.slow if name in ("average, mlp", "stride, no local") else ()
        )
        for name, spec in VARIANTS.items()
    ],
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(network_of(request.param), tmp_path_factory.mktemp("written"))


def test_every_format_computes_what_the_folded_network_computes(written: Written) -> None:
    assert not written.found.failures
    folded = convert_for_inference(written.network.model)
    for name, one in written.of_format.items():
        assert max(d.worst for d in one.differences if d.is_judged) < 1e-5
        run = FORMATS[name].read(written.folder / f"a{ENDINGS[name]}")
        for batch in (1, 2, 7):
            x = noise(batch, 3, *SIZE)
            assert error(torch.from_numpy(run(x)), folded(x)) < 1e-4
    assert sorted(p.name for p in written.folder.iterdir()) == ["a.bin", "a.onnx", "a.pt2", "a.xml"]


def test_what_the_files_hold_is_told(written: Written) -> None:
    graph = onnx.load(written.folder / "a.onnx")
    onnx.checker.check_model(graph)
    contents = {name: one.content for name, one in written.of_format.items()}
    assert sum(contents["onnx"].operators.values()) == len(graph.graph.node)
    assert contents["onnx"].versions["opset"] == str(graph.opset_import[0].version) == "20"
    assert contents["openvino"].versions["IR"] == "11"
    assert "Convolution" in contents["openvino"].operators
    for one in written.found.written:
        for path, size in one.files.items():
            assert Path(path).stat().st_size == size


def test_every_file_says_what_it_is_of(written: Written) -> None:
    graph = onnx.load(written.folder / "a.onnx")
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert said["model"] == written.network.about.model
    assert (said["img_size"], said["weights"]) == ("72,50", "of a checkpoint")
    assert said["mean"] == "0.485,0.456,0.406"
    assert json.loads(said["class_names"]) == ["a", "b, c"]
    model = openvino.Core().read_model(written.folder / "a.xml")
    assert {key: model.get_rt_info(["saevit", key]).astype(str) for key in said} == said
    extra = {PROPERTIES: ""}
    torch.export.load(written.folder / "a.pt2", extra_files=extra)
    assert json.loads(extra[PROPERTIES]) == said


def test_inputs_and_outputs_have_names_and_any_batch(written: Written) -> None:
    session = onnxruntime.InferenceSession(written.folder / "a.onnx")
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape) == ("image", ["batch", 3, *SIZE])
    assert (output.name, output.shape) == ("output", ["batch", 10])


def test_a_fixed_batch_is_the_only_one_and_the_opset_is_the_one_asked_for(tmp_path: Path) -> None:
    found = write(network_of(FLAT), tmp_path, "onnx", batch=3, opset=18).found
    assert found.batch == 3
    assert found.written[0].content.versions["opset"] == "18"
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert session.get_inputs()[0].shape == [3, 3, *SIZE]


def test_bad_settings_are_refused_before_any_work(tmp_path: Path) -> None:
    for more, message in (
        ({"opset": 12}, "opset 12: from 18 to 23, nearest is 18"),
        ({"batch": 0}, "batch 0: from 1 to 65536, or dynamic"),
    ):
        with pytest.raises(OptionError, match=message):
            write(network_of(FLAT), tmp_path, "onnx", **more)
    with pytest.raises(OptionError, match="format 'onxx' is not known: did you mean onnx"):
        export_network(network_of(FLAT), {"onxx": tmp_path / "a"})
    assert not list(tmp_path.iterdir())


def read_wrong(path: Path) -> Runner:
    """Read an ONNX file and compute something else."""
    compute = ONNX.read(path)
    return lambda x: np.asarray(compute(x) * 1.01)


def test_a_file_that_is_off_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "onnx", replace(ONNX, read=read_wrong))
    (tmp_path / "a.onnx").write_text("mine")
    found = write(network_of(FLAT), tmp_path, "onnx", "pt2").found
    assert found.failures.keys() == {"onnx"}
    assert "differ by 0.01 (relative) from the network's" in found.failures["onnx"]
    assert [one.format for one in found.written] == ["pt2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.pt2"]
    assert (tmp_path / "a.onnx").read_text() == "mine"


def test_a_file_that_no_runtime_reads_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "onnx", replace(ONNX, read=lambda path: 1 / 0))
    found = write(network_of(FLAT), tmp_path, "onnx").found
    assert found.failures["onnx"].startswith("the file cannot be read back: ZeroDivisionError")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["onnx", "pt2", "openvino"])
def test_files_are_replaced_through_links_and_nothing_else_is_left(name: str, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    endings = FORMATS[name].endings
    for ending in endings:
        (there / f"b{ending}").write_text("old")
        (there / f"b{ending}").chmod(0o640)
        (tmp_path / f"a{ending}").symlink_to(there / f"b{ending}")
    assert not write(network_of(FLAT), tmp_path, name).found.failures
    assert {p.name for p in tmp_path.iterdir()} == {"there", *(f"a{ending}" for ending in endings)}
    for ending in endings:
        assert (tmp_path / f"a{ending}").is_symlink()
        assert (there / f"b{ending}").stat().st_size > 1000
        assert (there / f"b{ending}").stat().st_mode & 0o777 == 0o640
    FORMATS[name].read(tmp_path / f"a{endings[0]}")(noise(1, 3, *SIZE))


def test_a_pair_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("old")
    (tmp_path / "a.bin").mkdir()
    found = write(network_of(FLAT), tmp_path, "openvino").found
    assert "a.bin cannot be written" in found.failures["openvino"]
    assert (tmp_path / "a.xml").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "a.xml"]


def text_format(endings: tuple[str, ...], expected: verify.Reference, text: str) -> Format:
    """Files of text whose outputs are exact."""

    def write(source: ExportInput, path: Path) -> Content:
        for ending in endings:
            path.with_suffix(ending).write_text(text)
        return Content(operators={}, versions={})

    def read(path: Path) -> Runner:
        outputs = iter(expected.batches)
        return lambda x: next(outputs)[1]

    return Format(endings=endings, packages=(), write=write, read=read)


def is_killed(renames: int, work: Callable[[], object]) -> bool:
    """Work in a process that is killed instead of its last of so many renames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads do not matter to it
        child = os.fork()
    if child == 0:
        left = iter(range(renames - 1))
        real = Path.replace

        def replace(self: Path, target: Path) -> Path:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, target)

        try:
            Path.replace = replace  # type: ignore[method-assign]
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("endings", [(".onnx",), (".xml", ".bin")], ids=str)
def test_a_kill_between_renames_never_leaves_a_mix_that_can_be_read(
    endings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next export of the name removes what was left."""
    path = tmp_path / f"a{endings[0]}"
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    images = {name: torch.rand(3, 8, 8) for name in "ab"}
    expected = verify.compute_reference(model, images, {}, None)
    source = ExportInput(model=model, shape=(1, 3, 8, 8), is_dynamic=True, opset=20, properties={})

    def export_as(text: str) -> None:
        monkeypatch.setitem(FORMATS, "text", text_format(endings, expected, text))
        exporter.export_format("text", source, expected, path)

    def texts() -> set[str]:
        return {path.with_suffix(ending).read_text() for ending in endings}

    for renames in itertools.count(1):
        export_as("old")
        was_killed = is_killed(renames, lambda: export_as("new"))
        left = [p for p in tmp_path.iterdir() if p.suffix not in endings or p.name[0] == "."]
        assert all(p.name.startswith(".saevit-") and p.is_file() for p in left)
        if not was_killed:
            break
        assert left
        assert texts() == {"old"} or path.read_text() == exporter.UNFINISHED
        assert texts() == {"old"} or renames > 1
    assert texts() == {"new"}
    assert renames == (2 if len(endings) == 1 else 4)
    assert not left


def test_what_stands_for_an_unfinished_pair_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(exporter.UNFINISHED)
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    with pytest.raises(RuntimeError, match="Unable to read the model"):
        openvino.Core().read_model(tmp_path / "a.xml")


def test_a_second_export_of_a_name_is_refused(tmp_path: Path) -> None:
    with owned(tmp_path / "a.onnx"):
        found = write(network_of(FLAT), tmp_path, "onnx", "pt2").found
    assert "a.onnx is in use by process" in found.failures["onnx"]
    assert [one.format for one in found.written] == ["pt2"]


@pytest.mark.parametrize("name", ["onnx", "pt2", "openvino"])
def test_a_full_disk_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    def says_otherwise(model: object, path: Path, **named: object) -> None:
        path.with_suffix(".bin").touch()
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(openvino, "save_model", says_otherwise)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    found = write(network_of(FLAT), tmp_path, name).found
    assert found.failures[name].endswith("cannot be written: No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("weight", "value"), [("norm.running_var", -1.0), ("conv.weight", 3e38)])
def test_a_network_that_answers_nan_is_not_exported(weight: str, value: float, tmp_path: Path) -> None:
    network = network_of(FLAT)
    with torch.no_grad():
        network.model.state_dict()[f"stages.2.blocks.0.ffn.fc1.{weight}"].fill_(value)
    with pytest.raises(MeasureError, match=r"not finite.*: nothing (was written|can be verified)"):
        write(network, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = export_network(network_of(FLAT), {"onnx": tmp_path / "file" / "a.onnx"})
    assert found.failures["onnx"].endswith("file cannot be made: File exists")


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("img_size", [(224, 224), (256, 192)], ids=str)
def test_every_preset_as_it_is_built(name: str, img_size: tuple[int, int], tmp_path: Path) -> None:
    found = write(load_network(PRESETS[name], None, img_size), tmp_path).found
    assert not found.failures
    for one in found.written:
        judged = [d for d in one.differences if d.is_judged]
        assert len(judged) == len(verify.make_images(3, img_size, IMAGENET_MEAN, IMAGENET_STD))
        assert max(d.worst for d in judged) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("img_size", [(224, 224), (256, 192)], ids=str)
def test_every_preset_trained(name: str, img_size: tuple[int, int], tmp_path: Path) -> None:
    found = write(network_of(PRESETS[name], img_size), tmp_path).found
    assert not found.failures
    for one in found.written:
        assert max(d.worst for d in one.differences if d.is_judged) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("sampling", KEYS["sampling"].choices)
def test_every_opset(opset: int, sampling: str, tmp_path: Path) -> None:
    """At a size of whose maps no rate divides a side, for any batch."""
    network = network_of(replace(SHALLOW, sampling=sampling, act="gelu"), (61, 83))
    found = write(network, tmp_path, "onnx", "openvino", opset=opset).found
    assert not found.failures
    assert found.written[0].content.versions["opset"] == str(opset)


@pytest.mark.slow
@pytest.mark.parametrize("img_size", [(32, 32), (33, 47), (64, 223), (97, 32)], ids=str)
@pytest.mark.parametrize("sampling", KEYS["sampling"].choices)
def test_every_sampling_at_odd_sizes(sampling: str, img_size: tuple[int, int], tmp_path: Path) -> None:
    for rates in ((8, 4, 2, 1), (7, 5, 3, 2)):
        network = network_of(replace(SHALLOW, sampling=sampling, rates=rates), img_size)
        found = write(network, tmp_path).found
        assert not found.failures
        for one in found.written:
            assert max(d.worst for d in one.differences if d.is_judged) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())
def test_every_switch(switch: dict[str, Any], tmp_path: Path) -> None:
    spec = replace(PRESETS["saevit_pico"], **switch)
    assert not write(network_of(spec, (140, 100)), tmp_path).found.failures


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv4_conv_medium", "efficientformer_l1", "repvit_m0_9"])
def test_models_of_timm(name: str, tmp_path: Path) -> None:
    assert not write(timm_network(name, (224, 224)), tmp_path).found.failures
