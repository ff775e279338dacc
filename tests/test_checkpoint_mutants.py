"""Broken and false files of weights: one line, or weights that are those of the file; never a traceback."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

import saevit
from saevit.checkpoint import About, save_checkpoint
from saevit.errors import SaevitError
from saevit.loading import load_network
from saevit.model.pyramid import build
from saevit.train.objective import load_teacher
from saevit.variant import parse

TEXT = "saevit_pico:dims=8-8-16-16,depths=1,heads=1,classes=3"
STATE = build(parse(TEXT), seed=1).state_dict()
ABOUT = About(
    model=TEXT,
    num_classes=3,
    img_size=(32, 32),
    mean=(0.5,) * 3,
    std=(0.2,) * 3,
    class_names=("a", "b", "c"),
    data="digits",
    notes=("x",),
)
FORMS = ("ours", "safetensors", "torch", "torch, before 1.6")
WEIRD = [
    *(
        None,
        True,
        -1,
        0,
        1,
        3.5,
        10**9,
        10**40,
        1e308,
        "",
        "x",
        "saevit_pico",
        "saevit_base:width=40",
        "\x1b[31m",
    ),
    *(
        "saevit_base:depth=200",
        "timm:resnet18",
        "timm:vit_giant_patch14_224",
        "birder:x",
        "/dev/zero",
        "9" * 5000,
    ),
    *(
        [],
        [[]],
        [0, 0, 0],
        [1e-9] * 3,
        [float("nan")] * 3,
        [1, "a"],
        ["a"] * 3,
        {},
        {"a": {"b": []}},
        [2**14, 2**14],
    ),
]


def written(form: str, weights: dict[str, Any], path: Path, said: dict[str, Any] | None = None) -> bytes:
    """Weights in a file of some form, and what it says of them."""
    if form == "ours" and said is None:
        save_checkpoint(weights, ABOUT, path)
        return path.read_bytes()
    if form in FORMS[:2]:
        return save(weights, {"saevit": json.dumps(said)} if said is not None else None)
    data = io.BytesIO()
    torch.save({"state_dict": weights, "epoch": 3}, data, _use_new_zipfile_serialization=form == FORMS[2])
    return data.getvalue()


def flip(rng: random.Random, data: bytes) -> bytes:
    """Change one to three bits; in half of the cases near the beginning or the end, where headers are."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        near = rng.choice((rng.randrange(len(found)), rng.randrange(20_000), -1 - rng.randrange(4000)))
        found[near % len(found)] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(rng: random.Random, data: bytes) -> bytes:
    """Take a piece out, put one in, blank one, or end early."""
    at, length = rng.randrange(len(data)), rng.choice((1, 8, 500, 10**6))
    return rng.choice(
        (
            data[:at],
            data[:at] + data[at + length :],
            data[:at] + rng.randbytes(min(length, 500)) + data[at:],
            data[:at] + bytes(min(length, len(data) - at)) + data[at + length :],
            data + data,
        )
    )


def change_tensor(rng: random.Random, weights: dict[str, Any]) -> dict[str, Any]:
    """Rename, reshape, retype, empty or spoil one tensor."""
    name = rng.choice(list(weights))
    value: Tensor = weights[name]
    kinds = (torch.float16, torch.float64, torch.int8, torch.bool, torch.float8_e5m2, torch.complex64)
    changes: list[Callable[[], dict[str, Any]]] = [
        lambda: {n: v for n, v in weights.items() if n != name},
        lambda: {
            n if n != name else rng.choice(("x", "", "a.b", name + "x", "\u202e")): v
            for n, v in weights.items()
        },
        lambda: weights | {name: value.reshape(-1)[: rng.randrange(value.numel() + 1)].clone()},
        lambda: weights | {name: value[None].clone()},
        lambda: weights | {name: value.to(rng.choice(kinds))},
        lambda: weights | {name: value.double().mul(rng.choice((float("nan"), float("inf"), 1e300, -1.0)))},
        lambda: {f"{rng.choice(('module.', 'model.', 'a.b.', '.'))}{n}": v for n, v in weights.items()},
        lambda: weights | {f"module.{name}": value.clone()},
    ]
    return rng.choice(changes)()


def change_header(rng: random.Random) -> dict[str, Any]:
    """Say something else of the weights."""
    said = {"network": saevit.NETWORK} | vars(ABOUT)
    field = rng.choice([*said, "sha256"])
    return {n: v for n, v in said.items() if n != field} | (
        {field: rng.choice(WEIRD)} if rng.random() < 0.9 else {}
    )


def mutant(rng: random.Random, form: str, path: Path) -> tuple[bytes, dict[str, Any], int]:
    """A file that is not as it was written, the weights in it, and how many may differ without a checksum."""
    kind = rng.choice(("flip", "flip", "cut", "tensor", "header" if form == "ours" else "nest"))
    if kind == "tensor":
        weights = change_tensor(rng, STATE)
        return (
            written(form, weights, path, {"network": 2} | vars(ABOUT) if form == "ours" else None),
            weights,
            0,
        )
    if kind == "header":
        return written(form, STATE, path, change_header(rng)), STATE, 0
    if kind == "nest" and form != "safetensors":
        content: Any = STATE
        for _ in range(rng.randrange(8)):
            content = rng.choice(
                ({"model": content}, {"ema": content, "x": [content]}, [content], {1: content})
            )
        data = io.BytesIO()
        torch.save(content, data, _use_new_zipfile_serialization=form == FORMS[2])
        return data.getvalue(), STATE, 0
    most = 0 if form in ("ours", FORMS[2]) else 3 if kind == "flip" else len(STATE)
    return (flip if kind == "flip" else cut)(rng, written(form, STATE, path)), STATE, most


def check(rng: random.Random, form: str, path: Path) -> bool:
    """Read a mutant; was it accepted?"""
    data, wanted, most = mutant(rng, form, path)
    path.write_bytes(data)
    try:
        if rng.random() < 0.2:
            load_teacher(TEXT, path, ABOUT, torch.device("cpu"))
            return True
        found = load_network(None if form == "ours" else TEXT, path)
    except SaevitError as error:
        return not is_line(str(error))
    state = found.model.state_dict()
    known = {name.removeprefix("module."): value for name, value in wanted.items()}
    off = [name for name, value in state.items() if name in known and not same(value, known[name])]
    assert len(off) <= most, off
    assert all(value.isfinite().all() for value in state.values())
    if form == "ours":
        assert found.about.img_size[0] <= 4096
        assert len(found.about.mean) == found.about.in_chans
    return True


def is_line(message: str) -> bool:
    """Is it one for a user?"""
    assert message.isprintable()
    assert len(message) < 1000
    return True


def same(value: Tensor, known: Any) -> bool:
    return value.dtype == torch.int64 or torch.equal(value, known.to(value.dtype))


@pytest.mark.parametrize("form", FORMS)
def test_mutants_are_refused_in_one_line_or_are_what_they_are(form: str, tmp_path: Path) -> None:
    rng = random.Random(form)
    accepted = [check(rng, form, tmp_path / "a.safetensors") for _ in range(10)]
    assert not all(accepted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("form", FORMS)
def test_many_mutants(form: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(f"{form} {seed}")
    accepted = [check(rng, form, tmp_path / "a.safetensors") for _ in range(20)]
    assert not all(accepted)


def test_the_files_that_mutants_are_made_of_are_read(tmp_path: Path) -> None:
    for form in FORMS:
        path = tmp_path / "a.safetensors"
        path.write_bytes(written(form, STATE, path))
        assert all(same(v, STATE[n]) for n, v in load_network(TEXT, path).model.state_dict().items())
    save_file({n: v for n, v in STATE.items() if "num_batches" not in n}, path)
    assert load_network(TEXT, path).notes == ()
