"""birder's networks as subjects; where birder is not installed, the one line that says so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from saevit.baselines import birder_models
from saevit.baselines.groups import expand_model
from saevit.baselines.published import Published, load_rows
from saevit.errors import MeasureError, MissingPackageError, OptionError
from saevit.measure.timing import TimingOptions
from saevit.profiling import profile
from saevit.variant import PRESETS

ROWS = [row for row in load_rows() if row.birder_name]
QUICK = ("edgevit_xxs", "microvit_s1")  # the second is re-parameterised; the others are slow


@pytest.fixture
def _birder() -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError, reason="torchvision does not match this torch")
    if not birder_models.is_installed():
        pytest.skip("birder is not installed")


@pytest.mark.usefixtures("_birder")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.model_id, marks=[] if row.model_id in QUICK else pytest.mark.slow)
        for row in ROWS
    ],
)
def test_counts_are_those_of_the_network_built_here(row: Published) -> None:
    assert row.img_size
    assert row.birder_name
    assert row.params_m
    size = (row.img_size, row.img_size)
    trained = sum(p.numel() for p in birder_models.build_trainable(row.birder_name, size).parameters())
    built = profile(row.subject, img_size=size, counters=["torch"])
    assert round(trained / 1e6, 3) == row.params_m
    assert round(built.macs / 1e9, 4) == row.gmacs
    assert (built.params < trained) == (row.family == "MicroViT")  # the table has it as trained
    assert built.params > 0.99 * trained  # what `Published.reparam_matters` would call no matter


@pytest.mark.usefixtures("_birder")
def test_whole_profile() -> None:
    plan = TimingOptions(batch_sizes=(1,), rounds=3, min_time=0.001, device="cpu")
    found = profile("birder:edgevit_xxs", img_size=(96, 64), counters=["torch"], timing=plan)
    assert found.model == "birder:edgevit_xxs"
    assert re.match(r"birder \d+\.\d+\.\d+, its own implementation, random weights, 1000 cl", found.statement)
    assert sum(row.macs for row in found.rows) == found.macs
    assert sum(row.params for row in found.rows) == found.params == 4_066_704
    assert found.run is not None
    assert len(found.run.timed[0].samples) == 3


@pytest.mark.usefixtures("_birder")
def test_ready_for_inference_at_the_size_asked_for() -> None:
    import torch

    model = birder_models.build_for_inference("pvt_v1_t", (96, 64))  # its position embeddings are of one size
    assert not any(module.training for module in model.modules())
    assert model(torch.zeros(1, 3, 96, 64)).shape == (1, 1000)


@pytest.mark.usefixtures("_birder")
def test_nothing_is_downloaded_or_printed() -> None:
    code = (
        "import socket; socket.socket.connect = None\n"
        "from saevit.baselines.birder_models import build_for_inference\n"
        "build_for_inference('edgevit_xxs', (64, 64))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.usefixtures("_birder")
def test_resolve_asks_birder() -> None:
    assert expand_model("birder:iformer_s", PRESETS) == ("birder:iformer_s",)
    assert expand_model("birder:edgevit_x*", PRESETS) == ("birder:edgevit_xs", "birder:edgevit_xxs")


@pytest.mark.usefixtures("_birder")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("birder:edgevit_xl", "birder:edgevit_xl is not a birder model: did you mean edgevit_xs"),
        ("birder:EdgeViT_xs", "birder:EdgeViT_xs is not a birder model: did you mean edgevit_xs"),
        ("birder:pvt_tiny", "birder:pvt_tiny is not a birder model: "),  # the table's name, not birder's
        ("birder:edgvit*", "birder:edgvit* matches no birder model: nearest are birder:edgevit*"),
        ("birder:", "birder: names no model: for example birder:edgevit_xs or birder:moganet*"),
    ],
)
def test_refuses_what_birder_lacks(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        expand_model(text, PRESETS)


@pytest.mark.usefixtures("_birder")
def test_what_cannot_be_built_is_one_line() -> None:
    with pytest.raises(MeasureError, match="birder cannot build 'hornet_tiny_7x7' for 64 x 96 px: Assertion"):
        birder_models.build_for_inference("hornet_tiny_7x7", (64, 96))  # takes squares alone


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next import of birder be the first."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "birder"]:
        monkeypatch.delitem(sys.modules, name)


def test_without_birder(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    monkeypatch.setitem(sys.modules, "birder", None)
    assert not birder_models.is_installed()
    assert expand_model("edgevit_xs", PRESETS) == ("edgevit_xs",)
    message = re.escape("birder is not installed: pip install 'saevit[birder]'")
    for text in ("birder:iformer_s", "birder:edgevit*"):
        with pytest.raises(MissingPackageError, match=message):
            expand_model(text, PRESETS)
    with pytest.raises(MissingPackageError, match=message):
        birder_models.build_for_inference("edgevit_xs", (224, 224))


def test_a_broken_birder_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget(monkeypatch)
    (tmp_path / "birder").mkdir()
    (tmp_path / "birder" / "__init__.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    assert birder_models.is_installed()
    with pytest.raises(MissingPackageError, match=r"birder cannot be imported .*a_package_that_is_not_there"):
        birder_models.build_for_inference("edgevit_xs", (224, 224))
