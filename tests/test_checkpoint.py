"""Weights from files: those that fit, and one line on those that do not."""

import argparse
import collections
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import saevit
from saevit.checkpoint import About, read_checkpoint, save_checkpoint
from saevit.errors import OptionError
from saevit.loading import load_network
from saevit.model.pyramid import build
from saevit.variant import parse

OLD = "holds weights of saevit 0.1, whose network was different: train it again"
BASE = "saevit_pico:dims=8-8-16-16,heads=1"
TEXT = f"{BASE},depths=1,classes=10"
STATE = build(parse(TEXT), seed=1).state_dict()
OTHER = build(parse(TEXT), seed=2).state_dict()
FIRST = "stem.conv1.conv.weight"
ABOUT: dict[str, Any] = {
    "model": "saevit_pico:classes=3",
    "num_classes": 3,
    "img_size": (32, 32),
    "mean": (0.5,) * 3,
    "std": (0.2,) * 3,
}
ARGS = argparse.Namespace(model="x", data=Path("/x"), best=np.float64(3))  # as scripts save them
Weights = dict[str, Any]


def under(prefix: str, weights: Weights = STATE) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def inside(part: str) -> Weights:
    """As where one stage alone was wrapped."""
    return {name.replace("stages.1.", f"stages.1.{part}."): value for name, value in STATE.items()}


def loaded(content: object, path: Path, text: str | None = TEXT) -> tuple[Weights, tuple[str, ...]]:
    torch.save(content, path)
    net = load_network(text, path)
    return net.model.state_dict(), net.notes


def equal(found: Weights, wanted: Weights = STATE) -> bool:
    return all(torch.equal(value, wanted[name]) for name, value in found.items() if "num_batches" not in name)


@pytest.mark.parametrize(
    "prefix",
    [
        *(
            "",
            "module.",
            "_orig_mod.",
            "module._orig_mod.",
            "_orig_mod.module.",
            "module.module._orig_mod.module.",
        ),
        *(
            "model.",
            "backbone.",
            "net.",
            "model._orig_mod.",
            "_orig_mod.model.module.backbone.",
            "ema_model.module.",
        ),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "model", "state_dict", "a.b.module"])
def test_prefixes_and_wrappers_in_any_order_and_number(prefix: str, wrapper: str, tmp_path: Path) -> None:
    content: object = under(prefix)
    for key in reversed(wrapper.split(".") if wrapper else []):
        content = {"epoch": 3, key: content}
    assert equal(loaded(content, tmp_path / "a.pth")[0])


@pytest.mark.parametrize(
    "content",
    [
        *(inside(part) for part in ("module", "_orig_mod", "_fsdp_wrapped_module.module")),
        {name: value for name, value in STATE.items() if "num_batches_tracked" not in name},
        STATE
        | {"total_ops": torch.ones(1), "stem.total_params": torch.ones(1), "n_averaged": torch.ones(())},
        {"state_dict": under("model.") | {"criterion.weight": torch.ones(3)}, "loops": {"a": {"b": 1}}},
        collections.defaultdict(dict, {"model": collections.OrderedDict(STATE), "args": ARGS}),
        {name: torch.nn.Parameter(v) if v.is_floating_point() else v for name, v in STATE.items()},
        {name: v.double() if v.is_floating_point() else v for name, v in STATE.items()},
        {"model": STATE, "optimizer": {"state": {0: OTHER}, "slow": {"x": OTHER[FIRST]}}},
        {"student": STATE, "teacher": {"other.weight": torch.ones(2)}},
    ],
    ids=range(11),
)
def test_what_scripts_and_tools_write_is_loaded_without_a_word(content: object, tmp_path: Path) -> None:
    found, notes = loaded(content, tmp_path / "a.pth")
    assert equal(found)
    assert notes == ()


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    ("content", "taken"),
    [
        ({"state_dict": OTHER, "state_dict_ema": STATE}, "state_dict_ema are used, not state_dict"),
        ({"model": OTHER, "model_ema": under("module.") | {"n_averaged": torch.ones(())}}, "model_ema are"),
        ({"state_dict_ema": STATE}, "state_dict_ema are used"),
        ({"model": None, "ema": {"module": STATE, "updates": 7}}, "ema.module are used"),
        ({"model": OTHER, "ema": {"shadow": STATE, "decay": 0.9}}, "ema.shadow are used, not model"),
        (
            {"state_dict": under("net.", OTHER) | under("ema_net.")},
            "state_dict ema_net are used, not state_dict net",
        ),
        (OTHER | under("model_ema.module."), "model_ema are used, not the weights around them"),
        ({"best": STATE, "later": OTHER}, "best are used, not later"),
        ({"model": STATE, "model_ema": {"x": torch.ones(1)}, "other": OTHER}, "model are used, not other"),
    ],
    ids=range(9),
)
def test_averaged_weights_are_taken_as_timm_does_and_it_is_said(
    content: Weights, taken: str, is_zip: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth.tar"
    beside = {
        "args": ARGS,
        "epoch": 3,
        "optimizer": {"param_groups": [{"lr": 0.1}]},
        "metric": np.float64(71),
    }
    torch.save(content | beside, path, _use_new_zipfile_serialization=is_zip)
    found = load_network(TEXT, path)
    assert equal(found.model.state_dict())
    (note,) = found.notes
    assert note.startswith(f"--checkpoint {path}: the weights in ")
    assert taken in note


def test_timms_training_files_name_their_network_and_its_classes(tmp_path: Path) -> None:
    import timm

    made = timm.create_model("repvgg_a0", num_classes=7)
    torch.save({"arch": "repvgg_a0", "args": ARGS, "state_dict": made.state_dict()}, tmp_path / "a.pth")
    for text in (None, "timm:repvgg_a0"):
        found = load_network(text, tmp_path / "a.pth")
        assert (found.about.model, found.about.num_classes) == ("timm:repvgg_a0", 7)
        assert equal(found.model.state_dict(), made.state_dict())
    with pytest.raises(OptionError, match=r"it holds timm:repvgg_a0, not timm:resnet18$"):
        load_network("timm:resnet18", tmp_path / "a.pth")


def test_half_precision_is_exact(tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        halves = {name: v.to(dtype) if v.is_floating_point() else v for name, v in STATE.items()}
        assert equal(
            loaded(halves, tmp_path / "a.pth")[0], {n: v.to(STATE[n].dtype) for n, v in halves.items()}
        )


class Evil:
    """Would run code when it is read."""

    def __init__(self, called: Callable[..., object], *given: object) -> None:
        self.reduced = called, given

    def __reduce__(self) -> Any:
        return self.reduced


def test_code_in_a_file_is_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "ran"
    for called, given in ((print, ("ran",)), (exec, (f"open({str(mark)!r}, 'w')",))):
        assert equal(loaded({"model": STATE, "config": Evil(called, *given)}, tmp_path / "a.pth")[0])
    for evil in (Evil(os.mkdir, str(mark)), Evil(Path.touch, mark)):
        with pytest.raises(OptionError, match="code in a file is not run"):
            loaded({"model": STATE, "config": evil}, tmp_path / "a.pth")
    assert not mark.exists()
    assert "ran" not in capfd.readouterr().out


def cycle() -> Weights:
    made: Weights = {"epoch": 1}
    made["model"] = made["state_dict"] = {"model": made}
    return made


def deep() -> Weights:
    made: Weights = STATE
    for _ in range(200):
        made = {"model": made}
    return made


def changed(change: Callable[[Tensor], object], name: str = FIRST) -> Weights:
    return STATE | {name: change(STATE[name])}


@pytest.mark.filterwarnings("ignore:")  # of torch, on kinds of tensors that go
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: changed(lambda w: w.to(torch.float8_e4m3fn)),
            f"has values of the type float8_e4m3fn, first in {FIRST}",
        ),
        (lambda: changed(lambda w: w.to(torch.int8)), "has values of the type int8"),
        (lambda: changed(lambda w: w.to(torch.complex64)), "has values of the type complex64"),
        (lambda: changed(lambda w: w > 0), "has values of the type bool"),
        (lambda: changed(lambda w: w.to_sparse()), "has sparse or nested tensors"),
        (
            lambda: changed(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
            "has quantised or empty",
        ),
        (lambda: changed(lambda w: w.to("meta")), "has quantised or empty tensors"),
        (
            lambda: changed(lambda w: w[:1, :1, :1, :1].clone().expand(w.shape)),
            "has tensors that repeat their values",
        ),
        (
            lambda: changed(lambda w: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
            "of another shape",
        ),
        (lambda: changed(lambda w: w * torch.nan), f"has values that are not finite, first in {FIRST}"),
        (lambda: changed(lambda w: w.double() * 1e300), "has values that are not finite"),
        (lambda: changed(lambda w: -w, "stem.conv1.norm.running_var"), "has negative variances"),
        (
            lambda: changed(lambda w: w[:4]),
            r"is of another network: 1 of another shape, first stem.*\(4, 3, 3, 3\)",
        ),
        (
            lambda: {n: w for n, w in STATE.items() if n != FIRST},
            f"is of another network: 1 missing, first {FIRST}",
        ),
        (
            lambda: STATE | {"more.weight": STATE[FIRST]},
            "is of another network: 1 unknown, first more.weight",
        ),
        (lambda: changed(lambda w: "text"), "1 missing"),
        (
            lambda: build(parse(f"{BASE},depths=1,classes=4")).state_dict(),
            r"\(another number of classes: add classes=4",
        ),
        (
            lambda: build(parse(f"{BASE},depths=2,classes=10")).state_dict(),
            "unknown, first stages.0.blocks.1",
        ),
        *(
            (lambda value=value: value, "has no state_dict")
            for value in ([1, 2], None, {}, {"model": {}}, {1: {2: 3}})
        ),
        *((made, "has no state_dict: save model.state_dict") for made in (cycle, deep)),
        (lambda: torch.ones(3), "has no state_dict"),
        (lambda: build(parse(TEXT)), "has no state_dict: save model.state_dict()"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    content: Callable[[], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        loaded(content(), tmp_path / "a.pth")
    assert str(caught.value).startswith(f"--checkpoint {tmp_path / 'a.pth'} ")
    assert "\n" not in str(caught.value)


def zipped(method: int = zipfile.ZIP_STORED, **files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return data.getvalue()


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (bytes(100), "it is only zeros"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 94\n",
            "a pointer of Git LFS: `git lfs",
        ),
        (b"<!DOCTYPE html>\n<html><title>404</title>", "it is an HTML page"),
        (b"\xef\xbb\xbf\n  <HTML lang=en>", "it is an HTML page"),
        (b"<?xml version='1.0'?><Error/>", "it is an XML file"),
        (b"Entry not found", "it is text that begins with 'Entry not found'"),
        (b'{"error": {"code": 401}}', 'it is text that begins with \'{"error"'),
        ("Umleitung läuft\n".encode(), "it is text that begins with 'Umleitung läuft'"),
        ("text".encode("utf-16"), "it is text in UTF-16"),
        (b"\x1f\x8b\x08\x00\x01", "a compressed archive: unpack it first"),
        (b"\x89PNG\r\n\x1a\n", "it is an image"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5"),
        (b"\x08\x0a\x12\x07pytorch", "it is an ONNX graph"),
        (zipped(readme=b"x"), "a zip archive that torch.save did not write, it begins with readme"),
        (zipped(), "a zip archive that torch.save did not write"),
        (zipped(a__constants__pkl=b"x", **{"a__constants.pkl": b"x"}), "a TorchScript program"),
        (
            zipped(zipfile.ZIP_DEFLATED, **{"a__data.pkl": bytes(10**6)}),
            "unpacks to more than 4 times its size",
        ),
        (zipped(**{"a__data.pkl": b"\x80\x02}."}), "cannot be read as weights"),
        (b"PK\3\4 and no more", "cannot be read as weights"),
        (b"\x80\x02}q\x00X\x05", "it is damaged: error"),
        (b"\xd3\xf9\x01\x02" * 9, "of an unknown kind, it begins with the bytes d3 f9 01 02"),
        (b"\x00\x10\x00\x00\x00\x00\x00\x00{}", "it is cut off after 10 bytes"),
    ],
    ids=range(23),
)
def test_a_file_of_another_kind_is_called_by_its_name(
    data: bytes, message: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(data)
    with pytest.raises(OptionError, match="cannot be read as weights: ") as caught:
        read_checkpoint(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bytes_decide_and_not_the_ending(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "torch.safetensors")
    save_file(STATE, tmp_path / "safe.pth")
    for path in tmp_path.iterdir():
        assert equal(load_network(TEXT, path).model.state_dict())


def test_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(9 * 2**30)
    for name, message in {
        "gone.pth": "does not exist",
        ".": "is a folder",
        "pipe": "is no regular file",
        "large": "has 9,663,676,416 bytes: at most",
        "x" * 300: "cannot be used: File name too long",
    }.items():
        with pytest.raises(OptionError, match=message) as caught:
            read_checkpoint(tmp_path / name, "--teacher-checkpoint")
        assert str(caught.value).startswith("--teacher-checkpoint ")


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file(STATE, tmp_path / "a.safetensors")
    assert read_checkpoint(Path("~/a.safetensors")).size == (tmp_path / "a.safetensors").stat().st_size


@pytest.mark.parametrize(
    "name",
    ["ffn.redistribute.decompose.weight", "local.dw.weight", "attn.recover.weight"],
)
@pytest.mark.parametrize("wrapper", ["", "model"])
def test_weights_of_version_0_1_are_told_apart(name: str, wrapper: str, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    weights = {"module.stem.conv1.weight": torch.ones(3), f"module.stages.0.blocks.1.{name}": torch.ones(2)}
    torch.save({wrapper: weights} if wrapper else weights, path)
    for text in (TEXT, "timm:resnet18", None):
        with pytest.raises(OptionError) as caught:
            load_network(text, path)
        assert str(caught.value) == f"--checkpoint {path} {OLD}"


@pytest.mark.parametrize("model", ["saevit_pico", "saevit_tiny:attn_every=1", "saevit_pico:classes=3"])
def test_a_header_of_version_0_1_is_refused(model: str, tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    about = ABOUT | {"model": model}
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(about)})
    for text in (None, "saevit_pico"):
        with pytest.raises(OptionError) as caught:
            load_network(text, path)
        assert str(caught.value) == f"--checkpoint {path} {OLD}"
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(about | {"network": 3})})
    with pytest.raises(
        OptionError, match="holds weights of another version of saevit, whose network was different"
    ):
        read_checkpoint(path)


def test_a_header_of_version_0_1_of_timms_model_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    about = ABOUT | {"model": "timm:resnet18"}
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(about)})
    assert read_checkpoint(path).model == "timm:resnet18"


def test_what_is_written_names_the_definition_of_the_network(tmp_path: Path) -> None:
    save_checkpoint({"w": torch.ones(1)}, About(**ABOUT), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["saevit"])["network"] == saevit.NETWORK
    assert read_checkpoint(tmp_path / "a.safetensors").about == About(**ABOUT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5),
        ("model", None),
        ("num_classes", "3"),
        ("num_classes", True),
        ("num_classes", -1),
        ("num_classes", 10**30),
        ("img_size", "64"),
        ("img_size", [32]),
        ("img_size", [16, 32]),
        ("img_size", [32.0, 32]),
        ("img_size", [10**6, 32]),
        ("mean", ["a"] * 3),
        ("mean", [1e9] * 3),
        ("mean", [0.5]),
        ("std", 0),
        ("std", [0, 0, 0]),
        ("std", [-1, 1, 1]),
        ("std", [1e-300] * 3),
        ("in_chans", 0),
        ("in_chans", 1),
        ("class_names", ["a"]),
        ("class_names", "abc"),
        ("class_names", [1, 2, 3]),
        ("data", ["x"]),
        ("notes", 5),
        ("notes", ["\x1b[31m"]),
    ],
)
def test_a_header_of_other_values_names_file_and_field(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    said = ABOUT | {"network": saevit.NETWORK, "class_names": ("a", "b", "c")} | {field: value}
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": json.dumps(said)})
    with pytest.raises(OptionError, match=field) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"--checkpoint {path} has an invalid description of its weights: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    ["[]", "5", "null", '"x"', "{", "{}", "[" * 10**5, '{"a":' * 10**4, "9" * 10**4, '{"mean": [NaN]}'],
)
def test_a_header_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors", metadata={"saevit": text})
    with pytest.raises(OptionError, match="has an invalid description of its weights"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_silent_change_in_a_file_of_ours_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(STATE, About(**ABOUT | {"model": TEXT}), path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    said = json.loads(header["saevit"])
    swapped = STATE | {"stem.conv1.norm.weight": STATE["stem.conv1.norm.bias"].clone()}
    for name, (weights, other) in {
        "weights": (swapped, said),
        "names": (STATE | {"x": STATE[FIRST].clone()}, said),
        "mean": (STATE, said | {"mean": [0.25] * 3}),
        "model": (STATE, said | {"model": f"{TEXT},act=gelu"}),
        "later": (STATE, said | {"later": 1}),
    }.items():
        save_file(weights, tmp_path / name, metadata={"saevit": json.dumps(other)})
        with pytest.raises(OptionError, match="is damaged: its contents do not match the SHA-256 in it"):
            read_checkpoint(tmp_path / name)
    del said["sha256"]  # as version 0.2 wrote
    save_file(load_file(path), path, metadata={"saevit": json.dumps(said)})
    assert read_checkpoint(path).model == TEXT


def test_a_damaged_file_of_torch_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(STATE, path)
    data = bytearray(path.read_bytes())
    at = data.find(STATE[FIRST].numpy().tobytes())
    data[at + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(OptionError, match="cannot be read as weights: Bad CRC-32"):
        read_checkpoint(path)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert equal(load_network(TEXT, path).model.state_dict())


def test_half_precision_keeps_counters_and_is_read_into_fp32(tmp_path: Path) -> None:
    about = About(**ABOUT | {"model": TEXT, "num_classes": 10})
    save_checkpoint(STATE, about, tmp_path / "whole.safetensors")
    save_checkpoint(STATE, about, tmp_path / "half.safetensors", dtype=torch.float16)
    written = load_file(tmp_path / "half.safetensors")
    assert {n for n, w in written.items() if w.dtype != torch.float16} == {
        name for name, w in STATE.items() if not w.is_floating_point()
    }
    whole, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.7 * whole
    found = load_network(None, tmp_path / "half.safetensors").model.state_dict()
    assert all(found[name].dtype == value.dtype for name, value in STATE.items())
    assert equal(found, {name: w.half().to(w.dtype) for name, w in STATE.items()})


def test_a_weight_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    large = STATE | {FIRST: STATE[FIRST] + 1e6}
    with pytest.raises(OptionError, match=f"{FIRST} has values that are not finite in float16"):
        save_checkpoint(large, About(**ABOUT), tmp_path / "a.safetensors", dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    """safetensors writes the texts of a header in a random order."""
    weights = {"a": torch.ones(3)}
    for number in range(20):
        save_checkpoint(weights, About(**ABOUT), tmp_path / f"{number}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert torch.equal(load_file(tmp_path / "0.safetensors")["a"], weights["a"])
