"""Core ML: a package is written, with the network's names and properties; nothing here can compute it."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from saevit.errors import MissingPackageError
from saevit.export.exporter import check_request, export_network
from saevit.report.views.export import view_export
from tests.export.conftest import SIZE, network_of
from tests.model.networks import SHALLOW


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingPackageError, match=r"^coremltools is not installed: .*'saevit\[coreml\]'"):
        check_request(["coreml"], batch=None, opset=20)


@pytest.mark.slow  # its converter takes ten seconds
def test_a_package_in_fp16_is_half_as_large_and_says_that_it_is_not_verified(tmp_path: Path) -> None:
    tools = pytest.importorskip("coremltools")
    network = network_of(replace(SHALLOW, rates=(4, 3, 2, 1)))
    sizes = {}
    for precision in ("fp32", "fp16"):
        folder = tmp_path / f"{precision}.mlpackage"
        found = export_network(network, {"coreml": folder}, precision=precision)  # type: ignore[arg-type]
        assert (found.failures, found.written[0].differences) == ({}, ())
        assert view_export(found).result == (
            f"Wrote {folder.name}, not read back: Core ML runs on macOS only."
        )
        model = tools.models.MLModel(str(folder), skip_model_load=True)
        description = model.get_spec().description
        (image,), (output,) = description.input, description.output
        assert (image.name, list(image.type.multiArrayType.shape)) == ("image", [1, 3, *SIZE])
        assert (output.name, list(output.type.multiArrayType.shape)) == ("output", [1, 10])
        assert model.user_defined_metadata["img_size"] == "72,50"
        sizes[precision] = (folder / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fp16.mlpackage", "fp32.mlpackage"]
