"""A training that starts from a checkpoint: the same weights, and a new classifier for other classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from saevit.checkpoint import read_checkpoint, save_checkpoint
from saevit.errors import OptionError
from saevit.models import build_network
from saevit.train.preparation import PreparedRun, prepare_run
from saevit.train.processes import Processes
from saevit.train.recipe import Recipe
from saevit.train.run_folder import LAST, load_state
from saevit.train.state import TrainingRun
from tests.train.tiny import MODEL, RECIPE, Told, figures, squares, trained

ALONE = Processes(device=torch.device("cpu"))
SHORT = replace(RECIPE, epochs=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A run on coloured squares that starts from weights of a training on them."""
    folder = tmp_path_factory.mktemp("first")
    first = TrainingRun(model=MODEL, data=str(squares(folder / "squares")))
    trained(first, SHORT, folder / "run")
    return replace(first, init=str(folder / "run" / "best.safetensors"))


def prepared(run: TrainingRun, recipe: Recipe = SHORT, **how: bool) -> PreparedRun:
    """Return the run before its first update."""
    return prepare_run(run, recipe, ALONE, **how)


def list_changes(run: TrainingRun, net: nn.Module) -> list[str]:
    """Return the names of the network's weights that are not those of the run's file."""
    (stored,) = read_checkpoint(Path(run.init or "")).sets.values()
    own = {name: w for name, w in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    return [n for n, w in own.items() if n not in stored or not torch.equal(w, stored[n].to(w.dtype))]


@pytest.mark.parametrize("side", [32, 64])
def test_all_weights_are_the_file_s_at_any_image_size(side: int, run: TrainingRun) -> None:
    found = prepared(run, replace(SHORT, img_size=(side, side)))
    assert list_changes(run, found.net) == []
    assert found.start.endswith("best.safetensors, with its classifier")
    random = prepared(replace(run, init=None))
    assert list_changes(run, random.net)
    assert random.start == ""


def test_another_number_of_classes_gets_a_new_classifier(run: TrainingRun, tmp_path: Path) -> None:
    found = prepared(replace(run, data=str(squares(tmp_path / "two", classes=2))))
    assert list_changes(run, found.net) == ["head.fc.weight", "head.fc.bias"]
    assert found.start.endswith("with a new classifier: the file has 3 classes, the data have 2")


def test_other_names_of_classes_get_a_new_classifier(run: TrainingRun, tmp_path: Path) -> None:
    data = squares(tmp_path / "other")
    for split in ("train", "val"):
        (data / split / "green").rename(data / split / "grey")
    found = prepared(replace(run, data=str(data)))
    assert list_changes(run, found.net) == ["head.fc.weight", "head.fc.bias"]
    assert found.start.endswith("the classes have other names, the first green instead of grey")


def test_half_precision_is_read(run: TrainingRun, tmp_path: Path) -> None:
    file = read_checkpoint(Path(run.init or ""))
    assert file.about is not None
    (weights,) = file.sets.values()
    save_checkpoint({n: w.half() for n, w in weights.items()}, file.about, tmp_path / "half.safetensors")
    half = replace(run, init=str(tmp_path / "half.safetensors"))
    found = prepared(half)
    assert list_changes(half, found.net) == []
    assert next(found.net.parameters()).dtype == torch.float32


def test_another_network_is_one_line_that_names_the_first_tensor(run: TrainingRun, tmp_path: Path) -> None:
    other = replace(run, model=f"{MODEL},act=gelu,ffn=mlp")
    message = r"--init .*best.safetensors does not fit .*: it is of saevit_pico:.*; \d+ unknown, first stages"
    with pytest.raises(OptionError, match=message) as caught:
        prepared(other)
    assert str(caught.value).isprintable()
    (tmp_path / "file.pt").write_bytes(b"no weights")
    for path, reason in (
        (tmp_path / "file.pt", "cannot be read as weights"),
        (tmp_path / "gone", "not exist"),
    ):
        with pytest.raises(OptionError, match=f"--init .*{reason}"):
            prepared(replace(run, init=str(path)))


def test_the_file_is_checked_until_the_run_has_weights_of_its_own(run: TrainingRun, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    path.write_bytes(Path(run.init or "").read_bytes())
    begun = prepared(replace(run, init=str(path))).run
    assert begun.init_sha256 == read_checkpoint(path).sha256
    assert prepared(begun).run == begun
    trained(replace(run, init=None), replace(SHORT, seed=1), tmp_path / "other")
    path.write_bytes((tmp_path / "other" / "best.safetensors").read_bytes())
    with pytest.raises(OptionError, match=r"--init .* has changed since the run began: its SHA-256 is"):
        prepared(begun)
    path.unlink()
    assert prepared(begun, is_begun=True).run == begun


def test_the_run_records_its_start_and_resumes_without_the_file(run: TrainingRun, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    path.write_bytes(Path(run.init or "").read_bytes())
    tuned = replace(run, init=str(path))
    whole = trained(tuned, RECIPE, tmp_path / "whole")
    trained(tuned, RECIPE, tmp_path / "half", Told(stop_after=7))
    path.unlink()
    state = load_state(tmp_path / "half" / LAST)
    job = prepared(state.run, state.recipe, is_begun=state.is_begun)
    assert job.check_state(state) == state
    about = read_checkpoint(tmp_path / "whole" / "best.safetensors").about
    assert about is not None
    assert about.training is not None
    assert about.training.init == whole.run.init_sha256 == read_checkpoint(Path(run.init or "")).sha256
    random = replace(whole, run=replace(whole.run, init=None)).describe_training(33)
    assert random.init == ""
    assert random.recipe != about.training.recipe
    assert f'init_sha256 = "{about.training.init}"' in (tmp_path / "whole" / "recipe.toml").read_text()
    assert figures(whole.rows) != figures(trained(replace(run, init=None), RECIPE, tmp_path / "random").rows)


@pytest.mark.parametrize(
    ("model", "side", "file_side", "heads"),
    [
        ("timm:test_efficientnet", 32, 160, {"classifier.weight", "classifier.bias"}),
        ("timm:test_vit", 160, 160, {"head.weight", "head.bias"}),
    ],
)
def test_networks_of_timm_start_from_files_of_torch_save(
    model: str, side: int, file_side: int, heads: set[str], run: TrainingRun, tmp_path: Path
) -> None:
    weights = build_network(model, (file_side, file_side), seed=7).state_dict()
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "timm.pth")
    tuned = replace(run, model=model, init=str(tmp_path / "timm.pth"))
    found = prepared(tuned, replace(SHORT, img_size=(side, side)))
    own = found.net.state_dict()
    assert {
        n for n in own if own[n].shape != weights[n].shape or not torch.equal(own[n], weights[n])
    } == heads
    assert "the file has 1,000 classes, the data have 3" in found.start


def test_position_embeddings_are_resized(run: TrainingRun, tmp_path: Path) -> None:
    weights = build_network("timm:test_vit", (160, 160), num_classes=3, seed=7).state_dict()
    torch.save(weights, tmp_path / "timm.pth")
    tuned = replace(run, model="timm:test_vit", init=str(tmp_path / "timm.pth"))
    own = prepared(tuned, replace(SHORT, img_size=(96, 96))).net.state_dict()
    assert [n for n in own if own[n].shape != weights[n].shape] == ["pos_embed"]
    assert torch.equal(own["head.weight"], weights["head.weight"])
    assert float(own["pos_embed"].std()) == pytest.approx(float(weights["pos_embed"].std()), rel=0.5)
