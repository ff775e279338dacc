"""Weights from a file into a network, or one line that says why they do not fit."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saevit.errors import OptionError, need

WRAPPERS = ("state_dict", "model", "model_state_dict", "module")  # where training scripts put the weights
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Load a .safetensors file, or a torch file with nothing but tensors in it (`weights_only=True`).

    Raises:
        OptionError: the file cannot be read, or is of another network; names the first weights that differ.
    """
    weights = read(path)
    check(model, weights, path)
    model.load_state_dict(weights)


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without wrappers and prefixes."""
    if path.is_dir():
        raise OptionError(f"--checkpoint {path} is a directory: name a file in it")
    if not path.is_file():
        raise OptionError(f"--checkpoint {path} does not exist: name a .pth, .pt or .safetensors file")
    try:
        if path.suffix == ".safetensors":
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
    return {bare(name): value for name, value in data.items()}


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
