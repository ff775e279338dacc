"""Weights of a network in a file: written, read back, and fitted to a network."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

import saevit
from saevit.decode import decode, parse_json
from saevit.errors import OptionError, need
from saevit.files import expand, read_bytes, replace_file
from saevit.machine import free_memory
from saevit.provenance import Training
from saevit.text import abbreviated, printable
from saevit.weight_files import EXPANSION, describe_error, read_contents

SAFETENSORS = ".safetensors"
KEY = "saevit"  # in the file's header
NETWORK = "network"  # in the value of that key: the number of the network's definition
DIGEST = "sha256"  # likewise: of everything else in it and of the tensors
MAX_BYTES = 8 * 2**30  # of a file
COPIES = 3  # of its bytes in memory: the file, its tensors, the network
Side = Annotated[int, Field(ge=32, le=4096)]  # px
MAX_NESTING = 4  # dictionaries around the one that holds tensors
MAX_PREFIXES = 16  # that are tried

WRAPPERS = ("state_dict", "model", "model_state_dict", "module")  # where training scripts put the weights
AVERAGES = {"ema", "swa", "averaged", "shadow"}  # words in the names of averaged weights
WRAPPER_MODULES = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")  # not used in inference
CLASSIFIERS = {"head", "fc", "classifier"}
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# Weights that only the network of saevit 0.1 had.
OLD_WEIGHT = re.compile(
    r"stages\.\d+\.blocks\.\d+\.(ffn\.redistribute\.decompose|local\.dw|attn\.recover)\.weight$"
)


@dataclass(frozen=True, kw_only=True)
class About:
    """Description of weights: enough to build the network, feed it and name its classes.

    The bounds apply to what is read from a file.
    """

    model: str  # variant with its number of classes, or timm:NAME
    num_classes: Annotated[int, Field(ge=0, le=2**24)]
    img_size: tuple[Side, Side]  # (H, W) in pixels of the training
    mean: tuple[Annotated[float, Field(ge=-1e4, le=1e4)], ...]  # of each channel of an image in [0, 1]
    std: tuple[Annotated[float, Field(ge=1e-4, le=1e4)], ...]
    in_chans: Annotated[int, Field(ge=1, le=2**16)] = 3
    class_names: tuple[str, ...] = ()
    data: str = ""  # the source of the training images
    notes: tuple[str, ...] = ()
    training: Training | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file of weights, read once."""

    label: str  # option and path, for messages
    path: Path
    about: About | None  # None: the file has no description
    model: str  # the network in the description; empty: not known
    sets: Mapping[str, Mapping[str, Tensor]]  # place in the file to weights by name
    size: int  # bytes
    sha256: str  # of the file


class MisfitError(OptionError):
    """Weights with other names or shapes than the network's."""


def save_checkpoint(
    weights: Mapping[str, Tensor], about: About, path: Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write a .safetensors file; it appears only when it is complete.

    Args:
        dtype: of the floating-point weights in the file; None keeps theirs. Half precision halves the file,
            and a network in fp32 reads it.

    Raises:
        OptionError: another ending, a weight that is too large for the dtype, or the file cannot be written.
    """
    if path.suffix != SAFETENSORS:
        raise OptionError(
            f"{path}: weights are written as {SAFETENSORS}, such as {path.with_suffix(SAFETENSORS)}"
        )
    tensors = {name: w.detach().to("cpu", copy=True).contiguous() for name, w in weights.items()}
    if dtype is not None:
        tensors = {name: w.to(dtype) if w.is_floating_point() else w for name, w in tensors.items()}
        if lost := next(
            (n for n, w in tensors.items() if w.is_floating_point() and not w.isfinite().all()), ""
        ):
            raise OptionError(f"{lost} has values that are not finite in {str(dtype).removeprefix('torch.')}")
    facts = {NETWORK: saevit.NETWORK} | asdict(about)
    header = {"format": "pt", KEY: json.dumps(facts | {DIGEST: hash_contents(facts, tensors)})}
    data = sort_header(need("safetensors.torch").save(tensors, metadata=header))
    replace_file(path, lambda temporary: temporary.write_bytes(data))


def sort_header(data: bytes) -> bytes:
    """Return a .safetensors file with its header in one order, so that equal weights give equal files.

    safetensors writes the texts in the header in a random order.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8:start]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def hash_contents(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a header's facts and of tensors, which detects a damaged file."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode("utf-8", "backslashreplace"))
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_checkpoint(path: Path, option: str = "--checkpoint") -> Checkpoint:
    """Read a .safetensors file, or one of torch.save, without running code that the file names.

    Args:
        path: a regular file with any ending.
        option: the option that named the file, for messages.

    Raises:
        OptionError: the file or its description cannot be read, or it is of another definition of SAEViT.
    """
    label = f"{option} {printable(str(path))}"
    try:
        data = read_bytes(expand(str(path)), most=min(MAX_BYTES, free_memory() // COPIES))
    except OptionError as error:
        raise OptionError(f"{option} {error}") from error
    try:
        contents, texts = read_contents(data)
        about = read_description(label, texts[KEY], contents) if texts.get(KEY) else None
    except OptionError:
        raise
    except Exception as error:  # pickle, zip, safetensors and json raise errors of any type
        raise OptionError(f"{label} cannot be read as weights: {describe_error(error)}") from error
    sets = dict(find_weights(contents))
    if not sets:
        raise OptionError(f"{label} has no state_dict: save model.state_dict() with torch.save")
    if any(OLD_WEIGHT.search(name) for weights in sets.values() for name in weights):
        check_network(label, "", None)
    arch = contents.get("arch") if isinstance(contents, dict) else None  # in timm's training files
    timm_name = f"timm:{abbreviated(arch)}" if isinstance(arch, str) else ""
    return Checkpoint(
        label=label,
        path=path,
        about=about,
        model=about.model if about else timm_name,
        sets=sets,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def read_description(label: str, text: str, tensors: Mapping[str, Tensor]) -> About:
    """Read the description that `save_checkpoint` wrote; keys of later versions are ignored."""
    try:
        facts = parse_json(text)
        about = decode(About, facts)
        if not len(about.mean) == len(about.std) == about.in_chans:
            raise ValueError(f"mean, std: one value for each of in_chans = {about.in_chans}")
        if len(about.class_names) not in (0, about.num_classes):
            raise ValueError(f"class_names: num_classes = {about.num_classes} of them, or none")
    except ValueError as error:
        raise OptionError(f"{label} has an invalid description of its weights: {error}") from error
    digest = facts.pop(DIGEST, None)  # in files since version 0.2
    if digest is not None and digest != hash_contents(facts, tensors):
        raise OptionError(f"{label} is damaged: its contents do not match the SHA-256 in it, copy it again")
    check_network(label, about.model, facts.get(NETWORK))
    return about


def check_network(file: str, model: str, definition: object) -> None:
    """Check that weights of a variant are of the current definition of the network (None: not named).

    Raises:
        OptionError: the network had another definition.
    """
    if definition == saevit.NETWORK or model.startswith("timm:"):
        return
    version = "saevit 0.1" if definition is None else "another version of saevit"
    raise OptionError(f"{file} holds weights of {version}, whose network was different: train it again")


def find_weights(data: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield each dictionary with tensors in nested data once, with its place."""
    waiting, seen = [("", data, 0)], set()
    while waiting:
        place, value, depth = waiting.pop(0)
        if not isinstance(value, dict) or id(value) in seen:
            continue
        seen.add(id(value))
        inner = {key: v for key, v in value.items() if isinstance(key, str)}
        if tensors := {key: v for key, v in inner.items() if isinstance(v, Tensor)}:
            yield place, tensors
        if depth < MAX_NESTING:
            waiting += [(f"{place}.{key}".lstrip("."), v, depth + 1) for key, v in inner.items()]


def fit_weights(checkpoint: Checkpoint, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return weights with the wanted names and shapes, averages first, and a note if other sets fit too.

    Raises:
        MisfitError: no set fits; names the first differences.
        OptionError: a set fits, but its values cannot be used.
    """
    wanted = {name: value for name, value in wanted.items() if not name.endswith(COUNTERS)}
    found = sorted(list_candidates(checkpoint, wanted), key=lambda one: rank_place(one[0]))
    fits = [(place, weights) for place, weights in found if not describe_misfit(weights, wanted)]
    if not fits:
        raise MisfitError(describe_misfit(found[0][1], wanted))
    place, weights = fits[0]
    for name, value in weights.items():
        if fault := find_fault(name, value, wanted[name]):
            raise OptionError(f"{checkpoint.label} {fault}, first in {name}")
    total = sum(value.nbytes for value in weights.values())
    if total > EXPANSION * checkpoint.size:
        raise OptionError(
            f"{checkpoint.label} declares {total:,} bytes of weights and has {checkpoint.size:,}"
        )
    others = " or ".join(other or "the weights around them" for other, _ in fits[1:])
    if not others and rank_place(place):
        return weights, ""
    note = f"{checkpoint.label}: the weights in {place or 'no wrapper'} are used"
    return weights, f"{note}, not {others}" if others else note


def list_candidates(
    checkpoint: Checkpoint, wanted: Mapping[str, Tensor]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield each set of tensors under one prefix of their names, with its place; one may be the network's."""
    anchor = max(wanted, key=len)
    wrappers = WRAPPER_MODULES.difference(part for name in wanted for part in name.split("."))
    for place, raw in checkpoint.sets.items():
        used = {name: value for name, value in raw.items() if not name.endswith(COUNTERS)}
        bare = {".".join(p for p in name.split(".") if p not in wrappers): used[name] for name in used}
        weights = bare if len(bare) == len(used) else used  # else two tensors would have one name
        ends = [name.removesuffix(anchor) for name in weights if name.endswith(anchor)]
        prefixes = sorted((p for p in ends if not p or p.endswith(".")), key=len)[:MAX_PREFIXES]
        for prefix in prefixes:
            longer = tuple(p for p in prefixes if len(p) > len(prefix))
            own = {n: w for n, w in weights.items() if n.startswith(prefix) and not n.startswith(longer)}
            yield f"{place} {prefix}".strip(" ."), {n.removeprefix(prefix): w for n, w in own.items()}
        if not prefixes:
            yield place, weights


def rank_place(place: str) -> int:
    """Return the rank of a set by its place: averaged weights, then the usual places, then others."""
    if AVERAGES & set(re.split(r"[._ ]", place.lower())):
        return 0
    return 1 if not place or place.rpartition(".")[2] in WRAPPERS else 2


def describe_misfit(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Describe which names or shapes differ; empty if the weights fit."""
    shapes = {n: () if w.is_nested else tuple(w.shape) for n, w in weights.items()}
    missing, unknown = [n for n in wanted if n not in shapes], [n for n in shapes if n not in wanted]
    other = [n for n, w in wanted.items() if n in shapes and shapes[n] != tuple(w.shape)]
    lines = []
    if missing:
        lines.append(f"{len(missing)} missing, first {missing[0]}")
    if unknown:
        lines.append(f"{len(unknown)} unknown, first {abbreviated(unknown[0])}")
    if other:
        first = f"{shapes[other[0]]} instead of {tuple(wanted[other[0]].shape)}"
        if {name.partition(".")[0] for name in other} <= CLASSIFIERS:
            first += f" (another number of classes: add classes={shapes[other[0]][0]} to the variant)"
        lines.append(f"{len(other)} of another shape, first {other[0]}: {first}")
    return "; ".join(lines)


def find_fault(name: str, value: Tensor, wanted: Tensor) -> str:
    """Describe why the network cannot use a tensor's values; empty if it can."""
    if value.is_nested or value.layout != torch.strided:
        return "has sparse or nested tensors"
    if value.is_quantized or value.device.type == "meta" or type(value) not in (Tensor, torch.nn.Parameter):
        return "has quantised or empty tensors"
    if value.nbytes > value.untyped_storage().nbytes():
        return "has tensors that repeat their values"
    if wanted.is_floating_point() and value.dtype not in FLOATS:
        return f"has values of the type {str(value.dtype).removeprefix('torch.')}"
    if not value.to(wanted.dtype).isfinite().all():
        return "has values that are not finite"
    if name.endswith("running_var") and (value < 0).any():
        return "has negative variances"
    return ""
