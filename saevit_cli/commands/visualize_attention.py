"""`saevit visualize-attention`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from saevit.attention.findings import MapView, NumbersBy
from saevit.errors import OptionError
from saevit.files import to_file_name
from saevit.measure.progress import NextStep
from saevit.weights import SHIPPED, SHIPPED_IMG_SIZE, SHIPPED_MODEL
from saevit_cli import display, options, output, readers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saevit.attention.findings import Attention
    from saevit.attention.look import Choice
    from saevit.checkpoint import Checkpoint
    from saevit.variant import VariantSpec

    Model = VariantSpec | str | None  # None: the model that the checkpoint names
    Pairs = list[tuple[Model, Checkpoint | None]]

LONGEST_NAME = 80  # characters of a variant in the name of a file
WeightsName = Literal["trained", "random", "both"]
of_map = partial(typer.Option, rich_help_panel="Maps")


def read_positions(text: str) -> tuple[int, ...]:
    """Parse numbers from 1 on, joined by commas."""
    numbers = readers.read_whole_numbers(text)
    if min(numbers) < 1:
        raise OptionError(f"{text}: numbers start at 1")
    return numbers


def read_query(text: str) -> tuple[int, int]:
    """Parse a pixel `X,Y`."""
    numbers = readers.read_whole_numbers(text)
    if len(numbers) != 2 or min(numbers) < 0:
        raise OptionError(f"{text} is not a pixel X,Y, such as 120,80")
    return numbers[0], numbers[1]


Checkpoints = Annotated[
    list[Path] | None,
    options.of_model(
        "--checkpoint",
        metavar="FILE",
        help="Weights: a .safetensors file of `saevit train`, or a file of torch.save; a second file has the "
        "weights of the model of --compare, or of a second copy of the model.",
    ),
]
Compare = Annotated[
    str | None,
    options.of_model(
        metavar="MODEL", help="Show a second model on the same image, with the same colour scale."
    ),
]
Images = Annotated[
    list[Path] | None,
    of_map(
        "--image",
        metavar="FILE|DIR",
        help="Image or folder of images, repeatable; maps are of the first image, metrics are of all images. "
        "The default is a drawing that the command makes.",
    ),
]
ViewName = Annotated[
    MapView | None,
    of_map(
        "--view",
        metavar="VIEW",
        help="overview: tokens, weights and attention of each stage; query: attention of the pixels of "
        "--query; class: the pixels that raise the score of a class (Grad-CAM); pattern: the computed "
        "attention scores; rollout: the share of each pixel in the output of each stage. The default is "
        "query if --query is given, class if --class is given, and overview otherwise.",
    ),
]
Queries = Annotated[
    list[Any] | None,
    of_map(
        "--query",
        parser=read_query,
        metavar="X,Y",
        help="Query pixel, in pixels of the image file from its upper left corner; repeatable.",
    ),
]
Classes = Annotated[
    list[str] | None,
    of_map(
        "--class",
        metavar="NAME|N",
        help="Class of the class view, by name or by number from 0; repeatable. The default is the "
        "predicted class.",
    ),
]
Weights = Annotated[
    WeightsName | None,
    options.of_model(
        "--weights",
        metavar="WEIGHTS",
        help="trained: the weights of saevit_pico that come with saevit, trained on icons (the default of "
        "saevit_pico); random: random weights (the default of other models without --checkpoint); both: "
        "saevit_pico with both, one above the other.",
    ),
]
positions = partial(of_map, parser=read_positions, metavar="N,...")
Stages = Annotated[Any, positions("--stage", help="Stages to show, counted from 1; the default is all.")]
Blocks = Annotated[
    Any,
    positions(
        "--block",
        help="Blocks to show, counted from 1 in each stage; the default is all in the table and the last of "
        "each stage in the figure.",
    ),
]
Heads = Annotated[Any, positions("--head", help="Heads to show, counted from 1; the default is all.")]
Similarity = Annotated[
    float,
    of_map(
        parser=readers.number_reader(most=1),
        metavar="S",
        help="Suggest the largest rates at which the mean cosine similarity in a window is at least S.",
    ),
]
Rows = Annotated[NumbersBy, options.of_output("--by", help="Rows of the table.")]
Figure = Annotated[
    Path | None,
    options.of_output(
        "--output",
        metavar="FILE|DIR",
        help="Figure to write: a .png, .svg or .pdf file, or a folder; the default is MODEL-VIEW.png.",
    ),
]
Json = Annotated[
    str | None,
    options.of_output(
        metavar="FILE|-", help="Write all numbers of each head and image as JSON; - is stdout."
    ),
]
Csv = Annotated[str | None, options.csv_option("one row per head")]
Npz = Annotated[
    Path | None,
    options.of_output(metavar="FILE.npz", help="Write the maps of the first image as NumPy arrays."),
]


def visualize_attention(
    model: options.CheckpointModel = None,
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    settings: options.Set = None,
    img_size: options.CheckpointImgSize = None,
    checkpoint: Checkpoints = None,
    weights: Weights = None,
    compare: Compare = None,
    image: Images = None,
    view: ViewName = None,
    query: Queries = None,
    classes: Classes = None,
    stage: Stages = None,
    block: Blocks = None,
    head: Heads = None,
    similarity: Similarity = 0.9,
    by: Rows = "stage",
    target: Figure = None,
    report: options.Report = None,
    json: Json = None,
    csv: Csv = None,
    npz: Npz = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Show which pixels of an image the attention of a model samples and selects.

    Draws a figure and prints one row per stage. Without a model it shows saevit_pico with weights that come
    with saevit; other models have random weights unless --checkpoint is given.
    """
    view = view or ("query" if query else "class" if classes else "overview")
    if classes and view != "class":
        raise OptionError(f"--class {classes[0]} is for --view class, not {view}: leave one of them out")
    if view == "query" and not query:
        raise OptionError("--view query needs a query pixel, such as --query 120,80")
    checkpoints = checkpoint or []
    first = checkpoints[0] if checkpoints else None
    models = [
        readers.read_network(model, width, depth, rates, settings, checkpoint=first, default="saevit_pico")
    ]
    if compare:
        models.append(readers.read_model(compare))
    pairs = choose_weights(models, checkpoints, weights)
    if not (img_size or checkpoints) and is_shipped_model(models[0]):
        img_size = SHIPPED_IMG_SIZE
    # Imported late, because torch delays the errors above.
    from saevit.attention.look import Choice
    from saevit.attention.photo import list_images
    from saevit.report.attention_figure import attention_figure
    from saevit.report.figure import FORMATS
    from saevit.report.views.attention import attention_csv, attention_json, save_arrays, view_attention

    files = list_images(image or [])
    outputs = output.Outputs(
        {
            "--output": figure_path(target, pairs, view),
            "--report": report,
            "--json": json,
            "--csv": csv,
            "--npz": npz,
        },
        overwrite=overwrite,
        inputs=[*(("--checkpoint", path) for path in checkpoints), *(("--image", path) for path in files)],
        endings={"--output": FORMATS, "--npz": (".npz",)},
    )
    choice = Choice(
        stages=stage,
        blocks=block,
        heads=head,
        queries=query or (),
        classes=classes or (),
        threshold=similarity,
        views=(view,),
    )
    networks = look_at_all(pairs, files, img_size, choice)
    outputs.show(view_attention(networks, view, by))
    is_written = outputs.write(
        {
            "--json": lambda: attention_json(networks),
            "--csv": lambda: attention_csv(networks),
            "--npz": lambda: partial(save_arrays, networks),
            "--output": lambda: attention_figure(view, networks),
        }
    )
    return output.exit_code(failed=not is_written or any(attention.failures for attention in networks))


def is_shipped_model(model: "Model") -> bool:
    """Tell whether saevit has weights for a model: the preset, or the preset with their classes."""
    return str(model) in (SHIPPED_MODEL, SHIPPED_MODEL.partition(":")[0])


def choose_weights(models: "list[Model]", checkpoints: list[Path], weights: WeightsName | None) -> "Pairs":
    """Pair each network with its weights: a file, the weights that come with saevit, or None (random)."""
    if checkpoints and weights:
        raise OptionError(
            f"--weights {weights} and --checkpoint {checkpoints[0]} exclude each other: keep one"
        )
    if checkpoints:
        return pair_weights(models, checkpoints)
    if weights in ("trained", "both") and not is_shipped_model(models[0]):
        raise OptionError(
            f"--weights {weights} is for saevit_pico: no weights of {models[0]} come with saevit, "
            "name its weights with --checkpoint FILE"
        )
    if weights == "both":
        if len(models) > 1:
            raise OptionError(f"--weights both and --compare {models[1]} make three networks: leave one out")
        return [(SHIPPED_MODEL, readers.read_weights(SHIPPED)), (SHIPPED_MODEL, None)]
    shipped = None if weights == "random" else readers.read_weights(SHIPPED)
    return [(SHIPPED_MODEL, shipped) if is_shipped_model(model) else (model, None) for model in models]


def pair_weights(models: "list[Model]", checkpoints: list[Path]) -> "Pairs":
    """Pair each network with its checkpoint; two checkpoints for one model make two networks."""
    if len(checkpoints) > 2:
        raise OptionError(f"--checkpoint is given {len(checkpoints)} times: at most two models can be shown")
    if len(checkpoints) == 2 and len(models) == 1:
        models = models * 2
    return list(zip(models, [*map(readers.read_weights, checkpoints), None, None], strict=False))


def figure_path(target: Path | None, pairs: "Pairs", view: str) -> Path:
    """Return the file of the figure; the default name has the networks and the view."""
    if target is not None and not target.is_dir():
        return target
    names = [to_file_name(readers.output_name(*pair), LONGEST_NAME) for pair in pairs]
    return (target or Path()) / f"{'-and-'.join(dict.fromkeys(names))}-{view}.png"


def look_at_all(
    pairs: "Pairs", files: "Sequence[Path]", img_size: tuple[int, int] | None, choice: "Choice"
) -> "list[Attention]":
    """Run every network on every image."""
    from saevit.attention.look import look_at
    from saevit.attention.network import open_network

    if not files:
        display.say("no --image: using a drawing (an icon of a picture) that this command makes")
    networks, notes = [], list[str]()
    with display.show_progress() as on_progress:
        for model, checkpoint in pairs:
            net = open_network(model, img_size, checkpoint)
            notes += net.notes

            def on_image(done: int, name: str = net.about.model) -> None:
                on_progress(NextStep(text=name, done=done / max(len(files), 1)))

            networks.append(look_at(net, files, choice, on_image))
    for line in notes:
        display.say(line)
    for failure in (failure for attention in networks for failure in attention.failures):
        display.warn(f"left out: {failure}")
    return networks
