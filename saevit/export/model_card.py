"""The model card of a folder of weights: only facts that the checkpoint and the stored evaluations hold."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import saevit
from saevit.count.cost import count_network
from saevit.errors import need
from saevit.loading import LoadedNetwork
from saevit.models import SEED, read_spec
from saevit.provenance import Training
from saevit.runs.run import MeasuredTop1

OURS = (
    "SAEViT (arXiv 2508.16884) is reconstructed from the paper's abstract: this is not the authors' code, "
    "and the accuracies that the paper claims are not those of this network."
)


def write_card(network: LoadedNetwork, weights: Path, top1s: Sequence[MeasuredTop1]) -> str:
    """Return the card as Markdown with the header of Hugging Face.

    Args:
        network: the network that was written.
        weights: its file in the folder.
        top1s: stored evaluations of these very weights; without any, the card gives no accuracy.
    """
    about = network.about
    tags = ["image-classification", "timm"] + ["saevit"] * bool(read_spec(about.model))
    header = need("huggingface_hub").ModelCardData(
        library_name="timm", pipeline_tag="image-classification", tags=tags
    )
    lines = ["---", header.to_yaml(), "---", f"# {about.model}", "", *describe_use(network), ""]
    lines += write_table(("fact", "value"), [*list_counts(network), *list_origin(network)])
    lines += ["", "## Accuracy", "", *describe_accuracy(network, top1s), "", "## Files", ""]
    lines += [f"- `{weights.name}`: SHA-256 `{sha256(weights.read_bytes()).hexdigest()}`"]
    if network.sha256:
        lines.append(f"- the checkpoint that it was written from: SHA-256 `{network.sha256}`")
    lines += ["", f"Written by `saevit export --format timm`, saevit {saevit.__version__}.", ""]
    return "\n".join(lines)


def describe_use(network: LoadedNetwork) -> list[str]:
    """Return how timm loads the folder."""
    is_ours = read_spec(network.about.model) is not None
    register = ["import saevit.model.timm_registry  # registers the network; pip install saevit"] * is_ours
    load = 'network = timm.create_model("local-dir:FOLDER", pretrained=True).eval()'
    return [*([OURS, ""] if is_ours else []), "```python", "import timm", *register, load, "```"]


def list_counts(network: LoadedNetwork) -> list[tuple[str, str]]:
    """Return the counts of the network and the images that it takes."""
    about, spec = network.about, read_spec(network.about.model)
    height, width = about.img_size
    rows = [("parameters", f"{sum(weight.numel() for weight in network.model.parameters()):,}")]
    if spec:
        macs = count_network(spec, about.img_size).macs
        rows.append(("MACs", f"{macs:,} per image of {height} x {width} px, counted in closed form"))
    images = f"{about.in_chans} x {height} x {width} px, mean {about.mean}, std {about.std}"
    return [*rows, ("input", images), ("classes", f"{about.num_classes:,}")]


def list_origin(network: LoadedNetwork) -> list[tuple[str, str]]:
    """Return data, seed and budget of the training as far as the checkpoint names them."""
    about = network.about
    if network.is_random:
        return [("weights", f"random, seed {SEED}, not trained")]
    rows = [("weights", note) for note in about.notes]
    rows += [("training data", about.data)] if about.data else []
    return [*rows, *list_facts(about.training)] if about.training else rows


def list_facts(training: Training) -> list[tuple[str, str]]:
    """Return the facts of a training as rows."""
    return [
        ("fingerprint of the data", f"`{training.fingerprint}`"),
        ("recipe", f"{training.base}, digest of all settings `{training.recipe}`"),
        ("seed", str(training.seed)),
        ("budget", f"{training.epoch} of {training.epochs} epochs, {training.images:,} images"),
        ("highest learning rate", f"{training.lr:g}"),
        ("started from", f"weights with SHA-256 `{training.init}`" if training.init else "random weights"),
    ]


def describe_accuracy(network: LoadedNetwork, top1s: Sequence[MeasuredTop1]) -> list[str]:
    """Return the stored evaluations of the weights, or the command that makes one."""
    if not top1s:
        none = "No evaluation of these weights was stored when this card was written"
        return [f"{none}." if network.is_random else f"{none}: `saevit eval --checkpoint FILE` stores one."]
    heads = ("data", "split", "images", "px", "top-1 with 95 % interval over images", "date", "machine")
    return write_table(heads, map(list_top1, top1s))


def list_top1(top1: MeasuredTop1) -> tuple[str, ...]:
    """Return one evaluation as a row."""
    low, high = (100 * end for end in top1.share.interval)
    machine = top1.record.environment
    return (
        Path(top1.data).name,
        top1.split,
        f"{top1.share.total:,}",
        " x ".join(map(str, top1.img_size)),
        f"{100 * top1.share.value:.2f} % [{low:.2f}, {high:.2f}]",
        top1.record.time[:10],
        machine.accelerator or machine.cpu if machine else "-",
    )


def write_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    texts = (heads, ["---"] * len(heads), *rows)
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in texts]
