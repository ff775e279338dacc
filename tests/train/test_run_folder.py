"""A run's folder: nothing in it is lost by accident, and a full disk leaves what was there."""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from saevit.errors import OptionError
from saevit.train.image_data import DataIdentity
from saevit.train.recipe import Recipe
from saevit.train.run_folder import (
    FILES,
    begin_run,
    claim_folder,
    default_folder,
    holds_run,
    load_state,
    read_state,
    save_state,
)
from saevit.train.state import Epoch, EpochProgress, TrainingRun, TrainingState

DATA = DataIdentity(fingerprint="0", images=(("a", 3), ("b", 2)))
STATE = TrainingState(  # nothing is done
    run=TrainingRun(model="saevit_pico", data="digits"),
    recipe=Recipe(),
    base="imagenet",
    processes=1,
    data=(DATA, DATA),
)
ROW = Epoch(
    epoch=1,
    lr=0.1,
    train_loss=1.0,
    val_loss=None,
    val_top1=None,
    val_top5=None,
    val_images=None,
    seconds=1.0,
    images_per_s=9.0,
    skipped=0,
)
TENSORS = {
    "model": {"w": torch.randn(3), "n": torch.tensor(2)},
    "ema": None,
    "optimizer": {"state": {0: {"step": 2.0, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    "scaler": {},
}
DONE = replace(STATE, rows=(ROW,), tensors=TENSORS)


def test_the_usual_folder_is_named_after_model_and_data() -> None:
    assert default_folder("saevit_pico", "digits") == Path("runs/saevit_pico-digits")
    found = default_folder("timm:mobilenetv3_small_100", "/data/my cats/")
    assert found == Path("runs/timm-mobilenetv3_small_100-my-cats")
    assert default_folder("saevit_pico:width=0.5,ffn=mlp", "torch/cifar10").parent == Path("runs")


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    for _ in range(2):
        with claim_folder(tmp_path / "new" / "run"):
            pass
    (tmp_path / "notes.txt").write_text("mine")
    with (
        pytest.raises(OptionError, match="is not empty: --overwrite replaces it"),
        claim_folder(tmp_path),
    ):
        pass
    for name in ("last.pt", "recipe.toml"):
        (tmp_path / name).write_text("x")
        with (
            pytest.raises(OptionError, match=r"--resume .* continues the run in it, or --over"),
            claim_folder(tmp_path),
        ):
            pass
        (tmp_path / name).unlink()


def test_an_earlier_run_stays_until_the_new_one_begins(tmp_path: Path) -> None:
    folder = tmp_path
    files = [folder / name for name in FILES]
    for file in (*files, tmp_path / "notes.txt"):
        file.write_text("old")
    with claim_folder(folder, overwrite=True):
        begin_run(folder, STATE, overwrite=False)  # nothing is done yet
        assert {file.read_text() for file in files} == {"old"}
        assert not holds_run(folder, STATE)
        begin_run(folder, STATE, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.txt", "recipe.toml"]
    assert holds_run(folder, STATE)
    assert not holds_run(folder, replace(STATE, started="another time"))


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}], ids=str)
def test_a_folder_has_one_owner(how: dict[str, bool], tmp_path: Path) -> None:
    with claim_folder(tmp_path):
        (tmp_path / ".saevit-half.pt").write_text("of the owner")
        said = pytest.raises(OptionError, match=f"is in use by process {os.getpid()}: wait until it ends")
        with said, claim_folder(tmp_path, **how):
            pass
        assert (tmp_path / ".saevit-half.pt").exists()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".saevit-abc.pt").write_text("half")
    (tmp_path / ".saevit-lock").write_text("123")
    with claim_folder(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for name, how, message in (
        ("file", {"overwrite": True}, "--output .*/file is a file: name a folder"),
        ("file", {"resume": True}, "--resume .*/file is not the folder of a run"),
        ("gone", {"resume": True}, "--resume .*/gone is not the folder of a run"),
        ("file/run", {}, "cannot be made: Not a directory"),
        (300 * "x", {}, "cannot be used: File name too long"),
    ):
        with pytest.raises(OptionError, match=message), claim_folder(tmp_path / name, **how):
            pass


def test_a_state_of_an_earlier_version_can_be_resumed(tmp_path: Path) -> None:
    """Version 0.2 had no raw weights in its rows."""
    save_state(DONE, tmp_path / "last.pt")
    data = torch.load(tmp_path / "last.pt", weights_only=True)
    facts = json.loads(data["facts"])
    for name in ("val_weights", "raw_loss", "raw_top1", "raw_top5"):
        del facts["rows"][0][name]
    torch.save(data | {"facts": json.dumps(facts)}, tmp_path / "last.pt")
    assert load_state(tmp_path / "last.pt").rows == (ROW,)


def test_a_state_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    recipe = replace(STATE.recipe, lr=0.1 + 0.2, img_size=(32, 64))
    state = replace(
        STATE, recipe=recipe, rows=(ROW,), part=EpochProgress(updates=3, loss=0.1 * 3), tensors=TENSORS
    )
    save_state(state, tmp_path / "last.pt")
    found = load_state(tmp_path / "last.pt")
    assert replace(found, tensors=None) == replace(state, tensors=None)
    assert found.tensors is not None
    assert torch.equal(found.tensors["model"]["w"], TENSORS["model"]["w"])
    torch.load(tmp_path / "last.pt", weights_only=True)


def loaded(path: Path) -> tuple[TrainingState | None, str]:
    """Return a state, or why it is refused."""
    try:
        return load_state(path), ""
    except OptionError as error:
        return None, str(error)


def values_in(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in nested dicts and lists."""
    yield place
    if isinstance(data, dict | list):
        for key, inner in data.items() if isinstance(data, dict) else enumerate(data):
            yield from values_in(inner, (*place, key))


def with_value(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return data with another value at a place."""
    if not place:
        return value
    if isinstance(data, dict):
        return data | {place[0]: with_value(data[place[0]], place[1:], value)}
    return [with_value(inner, place[1:], value) if i == place[0] else inner for i, inner in enumerate(data)]


WRONG = (None, True, -1, 2**70, 1e308, float("nan"), "text", "a\x1bb", [], [1], {}, {"a": {"b": []}}, 10**400)


def test_facts_of_other_types_are_one_line_that_names_the_field(tmp_path: Path) -> None:
    """Every fact replaced by everything that it cannot be: a line, or a state that is whole."""
    path = tmp_path / "last.pt"
    save_state(DONE, path)
    data = torch.load(path, weights_only=True)
    facts = json.loads(data["facts"])
    refused = 0
    for place in values_in({name: facts[name] for name in facts if name != "forms"}):
        for value in WRONG:
            torch.save(data | {"facts": json.dumps(with_value(facts, place, value))}, path)
            state, error = loaded(path)
            if state is None:
                refused += 1
                assert error.isprintable()
                assert error.startswith(f"--resume: {path} ")
                assert len(error) < len(str(path)) + 300
            else:
                assert len(state.rows) == 1
                assert state.tensors
    assert refused > 500


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("model", "w"), torch.zeros(4), r"model\.w: torch.float32 \[4\] instead of torch.float32 \[3\]"),
        (("model", "w"), torch.zeros(3).half(), r"model\.w: torch.float16 \[3\] instead of"),
        (("model",), {}, r"model\.w: missing instead of"),
        (("ema",), {"w": torch.zeros(3)}, r"ema: missing instead of NoneType"),
        (("optimizer", "state", 0, "exp_avg"), torch.zeros(2), r"optimizer\.state\.0\.exp_avg: .* \[2\]"),
        (("optimizer",), None, r"optimizer\.state\.0\.step: missing instead of float"),
        (("scaler",), {"scale": 1.0}, r"scaler\.scale: float instead of none"),
    ],
)
def test_tensors_of_another_form_are_one_line(place: Any, value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_state(DONE, path)
    data = torch.load(path, weights_only=True)
    torch.save(with_value(data, place, value), path)
    with pytest.raises(OptionError, match=said):
        load_state(path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for data in ({"saevit": 1, "facts": "{}"}, {"state_dict": {}}, torch.zeros(3)):
        torch.save(data, path)
        with pytest.raises(OptionError, match="of another version of saevit, or of another program"):
            load_state(path)


def test_a_run_that_kept_no_state_begins_anew(tmp_path: Path) -> None:
    begin_run(tmp_path, STATE, overwrite=False)
    found = read_state(tmp_path)
    assert (found.run, found.recipe, found.base) == (STATE.run, STATE.recipe, STATE.base)
    assert not found.is_begun
    (tmp_path / "recipe.toml").write_text("epochs = 3\n")
    with pytest.raises(OptionError, match="has no model and data"):
        read_state(tmp_path)


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


@pytest.mark.parametrize("content", [b"", b"no state", b"\x80\x02cos\nsystem\n(S'true'\ntR.", b"PK\3\4"])
def test_a_file_that_is_no_state_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(OptionError, match=r"--resume: .*last.pt (cannot be read|is of another)") as caught:
        load_state(tmp_path / "last.pt")
    assert "\n" not in str(caught.value)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    """Cut off, and with bits turned over: refused, or unharmed where nothing reads them."""
    path = tmp_path / "last.pt"
    save_state(DONE, path)
    content = path.read_bytes()
    chance = random.Random(0)
    for _ in range(60):
        at = chance.randrange(len(content))
        flipped = content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
        for damaged in (content[:at], flipped):
            path.write_bytes(damaged)
            found, error = loaded(path)
            assert error.isprintable()
            if found is not None:
                assert replace(found, tensors=None) == replace(DONE, tensors=None)
                assert found.tensors is not None
                assert torch.equal(found.tensors["model"]["w"], TENSORS["model"]["w"])


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
            f"--resume: {path} holds weights of saevit 0.1, whose network was different: train it again"
        )


def test_a_folder_without_a_state_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"it contains no last.pt"):
        read_state(tmp_path)
    (tmp_path / "last.pt").mkdir()
    with pytest.raises(OptionError, match=r"last\.pt is a folder"):
        read_state(tmp_path)
    (tmp_path / "last.pt").rmdir()
    os.mkfifo(tmp_path / "last.pt")
    with pytest.raises(OptionError, match=r"last\.pt is no regular file"):
        read_state(tmp_path)
