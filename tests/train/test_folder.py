"""A run's folder: nothing in it is lost by accident, and a full disk leaves what was there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saevit.errors import OptionError
from saevit.train.folder import Folder, claim, folder_for
from saevit.train.job import Run
from saevit.train.recipe import Recipe
from saevit.train.state import State, load_state, save_state

STATE = State(run=Run(model="saevit_pico", data="digits"), recipe=Recipe(), base="imagenet", processes=1)


def test_the_usual_folder_is_named_after_model_and_data() -> None:
    assert folder_for("saevit_pico", "digits").path == Path("runs/saevit_pico-digits")
    found = folder_for("timm:mobilenetv3_small_100", "/data/my cats/").path
    assert found == Path("runs/timm-mobilenetv3_small_100-my-cats")
    assert folder_for("saevit_pico:width=0.5,ffn=mlp", "torch/cifar10").path.parent == Path("runs")


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    claim(Folder(tmp_path / "new" / "run"), overwrite=False)
    claim(Folder(tmp_path / "new" / "run"), overwrite=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match="is not empty: --overwrite starts anew"):
        claim(Folder(tmp_path), overwrite=False)
    (tmp_path / "last.pt").write_text("x")
    with pytest.raises(OptionError, match=r"--resume .* goes on with it, or --overwrite"):
        claim(Folder(tmp_path), overwrite=False)
    claim(Folder(tmp_path), overwrite=True)
    assert not (tmp_path / "last.pt").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".saevit-abc.pt").write_text("half")
    claim(Folder(tmp_path), overwrite=False)
    assert not any(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OptionError, match="is a file: name a folder"):
        claim(Folder(tmp_path / "file"), overwrite=True)
    with pytest.raises(OptionError, match="cannot be made"):
        claim(Folder(tmp_path / "file" / "run"), overwrite=False)


def test_a_state_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    tensors = {"model": {"w": torch.randn(3)}, "ema": None, "optimizer": {"state": {0: {"step": 2.0}}}}
    state = replace(STATE, recipe=replace(STATE.recipe, lr=0.1 + 0.2, img_size=(32, 64)), tensors=tensors)
    save_state(state, tmp_path / "last.pt")
    found = load_state(tmp_path / "last.pt")
    assert replace(found, tensors=None) == replace(state, tensors=None)
    assert found.tensors is not None
    assert torch.equal(found.tensors["model"]["w"], tensors["model"]["w"])
    torch.load(tmp_path / "last.pt", weights_only=True)


def test_a_write_that_fails_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(STATE, tmp_path / "last.pt")
    before = (tmp_path / "last.pt").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OptionError, match=r"last.pt cannot be written: No space left on device"):
        save_state(replace(STATE, base="digits"), tmp_path / "last.pt")
    monkeypatch.undo()
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("content", [b"", b"no state", b"\x80\x02cos\nsystem\n(S'true'\ntR."])
def test_a_file_that_is_no_state_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(OptionError, match=r"--resume: .*last.pt cannot be read") as caught:
        load_state(tmp_path / "last.pt")
    assert "\n" not in str(caught.value)


def test_a_state_of_version_0_1_is_refused_if_it_is_of_a_variant(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for model in (STATE.run.model, "saevit_pico:attn_every=1", "timm:resnet18"):
        save_state(replace(STATE, run=replace(STATE.run, model=model)), path)
        data = torch.load(path, weights_only=True)
        facts = json.loads(data["facts"])
        assert facts.pop("network") == 2
        torch.save(data | {"facts": json.dumps(facts)}, path)
        if model.startswith("timm:"):
            assert load_state(path).run.model == model
            continue
        with pytest.raises(OptionError) as caught:
            load_state(path)
        assert str(caught.value) == (
            f"--resume: {path} holds a SAEViT of version 0.1, whose network was another one: train it again"
        )


def test_a_folder_without_a_state_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"there is no last.pt in it"):
        load_state(tmp_path / "last.pt")
