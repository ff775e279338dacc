"""Weights to a file and back into a network, or one line that says why they do not fit."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

import saevit
from saevit.errors import OptionError, need
from saevit.files import replace_file

WRAPPERS = ("state_dict", "model", "model_state_dict", "module")  # where training scripts put the weights
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
SAFETENSORS = ".safetensors"
KEY = "saevit"  # of the file's header
NETWORK = "network"  # in it, the number of the network's definition
# Weights that the network of saevit 0.1 had.
OLD_WEIGHT = re.compile(
    r"stages\.\d+\.blocks\.\d+\.(ffn\.redistribute\.decompose|local\.dw|attn\.recover)\.weight"
)


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file of weights says of them: enough to build the network, feed it and read its classes."""

    model: str  # variant with its number of classes, or timm:NAME
    num_classes: int
    img_size: tuple[int, int]  # (H, W) in pixels that it was trained at
    mean: tuple[float, ...]  # of each channel of an image in [0, 1]
    std: tuple[float, ...]
    in_chans: int = 3
    class_names: tuple[str, ...] = ()
    data: str = ""  # what it was trained on
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `save_checkpoint` wrote; keys of later versions are left aside."""
        known = {field.name for field in fields(cls)}
        data: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(text).items()
            if name in known
        }
        return cls(**data)


def save_checkpoint(weights: Mapping[str, Tensor], about: About, path: Path) -> None:
    """Write a .safetensors file that appears only when it is complete.

    Raises:
        OptionError: another ending, or the disk or the folder refuses.
    """
    if path.suffix != SAFETENSORS:
        raise OptionError(
            f"{path}: weights are written as {SAFETENSORS}, such as {path.with_suffix(SAFETENSORS)}"
        )
    tensors = {name: w.detach().to("cpu", copy=True).contiguous() for name, w in weights.items()}
    header = {"format": "pt", KEY: json.dumps({NETWORK: saevit.NETWORK} | asdict(about))}
    data = need("safetensors.torch").save(tensors, metadata=header)
    replace_file(path, lambda temporary: temporary.write_bytes(data))


def read_about(path: Path) -> About | None:
    """Return what a file says of its weights; None: nothing, as files from elsewhere.

    Raises:
        OptionError: the file cannot be read, what it says cannot, or it is of another definition of SAEViT.
    """
    check_file(path)
    if path.suffix != SAFETENSORS:
        return None
    try:
        with need("safetensors").safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
        if not text:
            return None
        about = About.from_json(text)
        check_network(f"--checkpoint {path}", about.model, json.loads(text).get(NETWORK))
        return about
    except OptionError:
        raise
    except Exception as error:  # safetensors, json and missing fields raise all kinds
        raise OptionError(f"--checkpoint {path} cannot be read as weights: {reason_of(error)}") from error


def check_network(file: str, model: str, number: int | None) -> None:
    """Refuse weights of a variant whose network is defined otherwise than today's.

    Args:
        file: for the message.
        model: a variant's text, or timm:NAME, which is not concerned.
        number: of the definition; None: the file says none.

    Raises:
        OptionError: they are.
    """
    if number == saevit.NETWORK or model.startswith("timm:"):
        return
    version = "version 0.1" if number is None else "another version"
    raise OptionError(f"{file} holds a SAEViT of {version}, whose network was another one: train it again")


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Load a .safetensors file, or a torch file with nothing but tensors in it (`weights_only=True`).

    Raises:
        OptionError: the file cannot be read, or is of another network; names the first weights that differ.
    """
    weights = read_weights(path)
    check(model, weights, path)
    model.load_state_dict(weights)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without wrappers and prefixes."""
    check_file(path)
    try:
        if path.suffix == SAFETENSORS:
            data: Any = need("safetensors.torch").load_file(path)
        else:
            data = torch.load(path, map_location="cpu", weights_only=True)
    except OptionError:
        raise
    except Exception as error:  # pickle, zip, safetensors and the file system raise all kinds
        raise OptionError(f"--checkpoint {path} cannot be read as weights: {reason_of(error)}") from error
    while isinstance(data, dict) and (
        inner := next((data[w] for w in WRAPPERS if is_dict(data.get(w))), None)
    ):
        data = inner
    if not isinstance(data, dict) or not data or not all(isinstance(v, Tensor) for v in data.values()):
        raise OptionError(f"--checkpoint {path} has no state_dict: save model.state_dict() with torch.save")
    weights = {bare(name): value for name, value in data.items()}
    if any(map(OLD_WEIGHT.fullmatch, weights)):
        check_network(f"--checkpoint {path}", "", None)
    return weights


def check_file(path: Path) -> None:
    """Refuse what is no file."""
    if path.is_dir():
        raise OptionError(f"--checkpoint {path} is a directory: name a file in it")
    if not path.is_file():
        raise OptionError(f"--checkpoint {path} does not exist: name a .pth, .pt or .safetensors file")


def is_dict(value: object) -> bool:
    """Is this what a wrapper holds?"""
    return isinstance(value, dict)


def bare(name: str) -> str:
    """Take wrappers' prefixes off a name."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def check(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Refuse weights with other names or shapes, or with values that are not finite."""
    wanted = model.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    for name in counters - weights.keys():
        weights[name] = wanted[name]
    missing = [name for name in wanted if name not in weights]
    unknown = [name for name in weights if name not in wanted]
    other = [name for name, w in wanted.items() if name in weights and weights[name].shape != w.shape]
    problems = []
    if missing:
        problems.append(f"{len(missing)} missing, first {missing[0]}")
    if unknown:
        problems.append(f"{len(unknown)} unknown, first {unknown[0]}")
    if other:
        first = other[0]
        shapes = f"{tuple(weights[first].shape)} instead of {tuple(wanted[first].shape)}"
        problems.append(f"{len(other)} of another shape, first {first}: {shapes}")
    if problems:
        raise OptionError(f"--checkpoint {path} is of another network: {'; '.join(problems)}{hint(other)}")
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise OptionError(f"--checkpoint {path} has values that are not finite, first in {broken[0]}")


def hint(other: list[str]) -> str:
    """Say what helps where the classifier alone differs."""
    classifier = ("head.", "fc.", "classifier.")
    if other and all(name.startswith(classifier) for name in other):
        return " (another number of classes: add classes=N to the variant)"
    return ""


def reason_of(error: Exception) -> str:
    """Return the first line of an error, or what the library's long advice means."""
    if "Weights only load failed" in str(error):
        return "it holds more than tensors, and running a file's code is refused"
    return str(error).partition("\n")[0] or type(error).__name__
