"""`saevit visualize-attention`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from saevit.errors import OptionError
from saevit_cli import display, options, output, readers
from saevit_cli.commands import visualize_options as own

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saevit.attention.findings import Attention, View
    from saevit.attention.look import Choice
    from saevit.checkpoint import Checkpoint
    from saevit.variant import VariantSpec

VIEWS = ("overview", "query", "pattern", "rollout")


def visualize_attention(
    model: own.Model = None,
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    settings: options.Set = None,
    img_size: own.ImgSize = None,
    checkpoint: own.Checkpoints = None,
    compare: own.Compare = None,
    image: own.Images = None,
    view: own.ViewName = None,
    query: own.Queries = None,
    stage: own.Stages = None,
    block: own.Blocks = None,
    head: own.Heads = None,
    similarity: own.Similarity = "0.9",
    target: own.Output = None,
    json: own.Json = None,
    csv: own.Csv = None,
    npz: own.Npz = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Show what attention looks at on your image: where samples are taken, what each pixel receives.

    Draws a figure and prints numbers. Stages, blocks and heads count from 1.
    """
    queries = tuple(own.read_query(text) for text in query or ())
    chosen = readers.one_of("--view", view or ("query" if queries else "overview"), VIEWS)
    if chosen == "query" and not queries:
        raise OptionError("--view query needs a pixel of the image: --query X,Y, such as --query 120,80")
    positions = [
        own.read_positions(name, text)
        for name, text in (("--stage", stage), ("--block", block), ("--head", head))
    ]
    threshold, size = own.read_similarity(similarity), readers.read_size(img_size) if img_size else None
    first = checkpoint[0] if checkpoint else None
    models = [
        readers.read_network(model, width, depth, rates, settings, checkpoint=first, default="saevit_tiny")
    ]
    models += [readers.read_model(compare, None, None, None, [])] if compare else []
    pairs = with_weights(models, checkpoint or [])
    figure = own.target_of(target, tuple(readers.name_of(*pair) for pair in pairs), chosen)
    outputs = Outputs(figure=figure, json=json, csv=csv, npz=npz)
    from saevit.attention.look import Choice
    from saevit.attention.photo import list_images

    files = list_images(image) if image else []
    outputs.check(checkpoint or [], files, overwrite=overwrite)

    choice = Choice(
        stages=positions[0],
        blocks=positions[1],
        heads=positions[2],
        queries=queries,
        threshold=threshold,
        views=(cast("View", chosen),),
    )
    seen = looked(pairs, files, size, choice)
    is_written = outputs.emit(seen, chosen)
    raise typer.Exit(output.FAILED if not is_written or any(one.failures for one in seen) else 0)


def with_weights(
    models: "list[VariantSpec | str | None]", checkpoints: list[Path]
) -> "list[tuple[VariantSpec | str | None, Checkpoint | None]]":
    """Give each network its weights: two files for one network make two of it."""
    if len(checkpoints) > 2:
        raise OptionError(
            f"--checkpoint is given {len(checkpoints)} times: one for each of at most two networks"
        )
    if len(checkpoints) == 2 and len(models) == 1:
        models = models * 2
    return list(zip(models, [*map(readers.read_weights, checkpoints), None, None], strict=False))


def looked(
    pairs: "list[tuple[VariantSpec | str | None, Checkpoint | None]]",
    files: "Sequence[Path]",
    img_size: tuple[int, int] | None,
    choice: "Choice",
) -> "list[Attention]":
    """Run every network on every image."""
    from saevit.attention.look import look_at
    from saevit.attention.network import open_network
    from saevit.attention.photo import shipped_photo

    if not files:
        files = [shipped_photo()]
        output.say(f"no --image: using {files[0].name}, which matplotlib ships")
    seen, notes = [], list[str]()
    with display.show_progress() as tell:
        for model, checkpoint in pairs:
            net = open_network(model, img_size, checkpoint)
            notes += net.notes

            def on_image(done: int, name: str = net.about.model) -> None:
                tell(name, done / len(files), None)

            seen.append(look_at(net, files, choice, on_image))
    for note in notes:
        output.say(note)
    for one in seen:
        if one.is_random:
            output.say(f"{one.model} has random weights, nothing was learned: --checkpoint FILE")
        for failure in one.failures:
            output.say(f"warning: left out: {failure}")
    return seen


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where figure and numbers go."""

    figure: Path
    json: str | None
    csv: str | None
    npz: Path | None

    def check(self, checkpoints: "Sequence[Path]", images: "Sequence[Path]", *, overwrite: bool) -> None:
        """Refuse, before any work, what cannot be written."""
        from saevit.report.figure import FORMATS

        output.check_targets(
            (("--output", self.figure), ("--json", self.json), ("--csv", self.csv), ("--npz", self.npz)),
            overwrite=overwrite,
            inputs=[
                *(("--checkpoint", path) for path in checkpoints),
                *(("--image", path) for path in images),
            ],
            endings={"--output": FORMATS, "--npz": (".npz",)},
        )

    def emit(self, seen: "Sequence[Attention]", view: str) -> bool:
        """Show tables, unless data go to stdout, then write what was asked for. Was all of it written?"""
        from saevit.report.attention import machine
        from saevit.report.attention.draw import attention_figure
        from saevit.report.attention.numbers import attention_tables
        from saevit.report.figure import save_figure

        if output.STDOUT not in (self.json, self.csv):
            display.show_tables(table for one in seen for table in attention_tables(one))
        return output.write_all(
            ("--json", self.json, lambda: machine.attention_json(seen)),
            ("--csv", self.csv, lambda: machine.attention_csv(seen)),
            ("--npz", self.npz, lambda: partial(machine.save_arrays, seen)),
            ("--output", self.figure, lambda: partial(save_figure, attention_figure(view, seen))),
        )
