"""Folders in timm's layout: what timm builds from them, and what their card says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from saevit.checkpoint import About, read_checkpoint, save_checkpoint
from saevit.export.exporter import export_network
from saevit.export.timm_folder import shorten_source, write_config
from saevit.loading import LoadedNetwork, load_network
from saevit.provenance import Training
from saevit.runs.evaluation import keep_evaluation, records_of
from saevit.runs.run import read_top1
from saevit.runs.store import Writer
from saevit.train.data_sources import open_data
from saevit_cli.app import run_command
from tests.runs.test_evaluation import FOUND

SMALL = "saevit_pico:width=0.25,depths=1,classes=3"
TRAINING = Training(
    recipe="abc", base="icons", seed=5, lr=0.01, epoch=2, epochs=3, images=1234, fingerprint="f00d"
)


def small(model: str = SMALL) -> LoadedNetwork:
    net = load_network(model, None, (32, 48))
    about = replace(
        net.about,
        data="icons:/home/me/icons.tgz",
        class_names=("a", "b", "c"),
        notes=("weights after epoch 2",),
        training=TRAINING,
    )
    return replace(net, about=about, is_random=False, sha256="cafe")


@pytest.mark.parametrize("model", [SMALL, "timm:resnet10t:classes=3", "timm:vit_tiny_patch16_224:classes=3"])
def test_timm_builds_the_same_network(model: str, tmp_path: Path) -> None:
    net = small(model)
    export_network(net, {"timm": tmp_path / "new"})
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        *("README.md", "config.json", "model.safetensors")
    }
    found = timm.create_model(f"local-dir:{tmp_path / 'new'}", pretrained=True).eval()
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(found(x), net.model(x))
    data = timm.data.resolve_model_data_config(found)
    assert (list(data["input_size"]), data["crop_pct"]) == ([3, 32, 48], 1.0)
    assert found.pretrained_cfg["label_names"] == ["a", "b", "c"]
    other = timm.create_model(f"local-dir:{tmp_path / 'new'}", pretrained=True, num_classes=7)
    assert other.num_classes == 7
    again = load_network(None, tmp_path / "new" / "model.safetensors")
    assert (again.about.training, again.about.data) == (TRAINING, "icons:icons.tgz")


def test_the_card_holds_what_is_recorded_and_nothing_else(tmp_path: Path) -> None:
    def card(net: LoadedNetwork, *top1s: object) -> str:
        export_network(net, {"timm": tmp_path}, top1s=top1s)  # type: ignore[arg-type]
        text = (tmp_path / "README.md").read_text()
        assert text.startswith("---\nlibrary_name: timm\npipeline_tag: image-classification\n")
        return text

    text = card(small())
    for fact in (
        "abc",
        "`f00d`",
        "| seed | 5 |",
        "| 2 of 3 epochs, 1,234 images |",
        "icons:icons.tgz",
        "`cafe`",
    ):
        assert fact in text
    assert "/home/me" not in text
    assert "No evaluation of these weights was stored" in text
    assert "%" not in text
    evaluated = card(small(), read_top1(records_of(FOUND)[0]))
    assert "| a=b | validation | 199 | 64 x 64 | 75.38 % [68.95, 80.84] | 2026-01-01 |" in evaluated
    untrained = card(load_network(SMALL, None, (32, 32)))
    assert "random, seed 0, not trained" in untrained
    assert "epochs" not in untrained


def test_images_are_cropped_as_in_the_evaluation_of_the_training() -> None:
    about = About(model=SMALL, num_classes=3, img_size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    for data in ("digits", "/photos/digits"):
        config = json.loads(write_config(replace(about, data=data)))["pretrained_cfg"]
        expected = open_data(data, "validation").crop_pct if data == "digits" else 0.875
        assert config.get("crop_pct", 0.875) == expected


def test_only_the_last_part_of_a_path_is_published() -> None:
    assert shorten_source("/home/me/photos") == "photos"
    assert shorten_source("icons:/home/me/i.tgz") == "icons:i.tgz"
    assert shorten_source("torch/cifar10") == "torch/cifar10"
    assert shorten_source("") == ""


def test_the_command_fills_a_folder_and_cites_the_stored_evaluations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = tmp_path / "c.safetensors", tmp_path / "store"
    net = small()
    save_checkpoint(net.model.state_dict(), net.about, file)
    for sha256 in (read_checkpoint(file).sha256, "of another file"):
        with Writer(store) as writer:
            keep_evaluation(replace(FOUND, sha256=sha256), writer)
    words = ["export", "--checkpoint", str(file), "--format", "timm", "--store", str(store)]
    assert run_command([*words, "--output", str(tmp_path / "v1.2")]) == 0
    assert "Wrote and verified 3 files" in capsys.readouterr().out
    assert (tmp_path / "v1.2" / "README.md").read_text().count("75.38 %") == 1
    assert run_command([*words, "--output", str(tmp_path / "v1.2")]) == 2
    assert "v1.2/model.safetensors exists: choose another name" in capsys.readouterr().err
