"""`saevit visualize-attention`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from saevit.errors import OptionError
from saevit_cli import options, output, readers
from saevit_cli.commands import visualize_options as own

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saevit.attention.look import Choice, View
    from saevit.results.attention import Attention
    from saevit.spec import VariantSpec

VIEWS = ("overview", "query", "pattern", "rollout")


def visualize_attention(
    model: own.Model = None,
    width: options.Width = None,
    depth: options.Depth = None,
    sparsity: options.Sparsity = None,
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
        readers.read_network(model, width, depth, sparsity, settings, checkpoint=first, default="saevit_tiny")
    ]
    models += [readers.read_model(compare, None, None, None, [])] if compare else []
    pairs = with_weights(models, checkpoint or [])
    figure = own.target_of(target, tuple(own.name_of(*pair) for pair in pairs), chosen)
    outputs = Outputs(figure=figure, json=json, csv=csv, npz=npz)
    outputs.check(overwrite=overwrite)
    from saevit.attention.look import Choice

    choice = Choice(
        stages=positions[0],
        blocks=positions[1],
        heads=positions[2],
        queries=queries,
        threshold=threshold,
        views=(cast("View", chosen),),
    )
    seen = looked(pairs, image, size, choice)
    outputs.emit(seen, chosen)
    raise typer.Exit(output.FAILED if any(one.failures for one in seen) else 0)


def with_weights(
    models: "list[VariantSpec | str | None]", checkpoints: list[Path]
) -> "list[tuple[VariantSpec | str | None, Path | None]]":
    """Give each network its weights: two files for one network make two of it."""
    if len(checkpoints) > 2:
        raise OptionError(
            f"--checkpoint is given {len(checkpoints)} times: one for each of at most two networks"
        )
    if len(checkpoints) == 2 and len(models) == 1:
        models = models * 2
    return list(zip(models, [*checkpoints, None, None], strict=False))


def looked(
    pairs: "list[tuple[VariantSpec | str | None, Path | None]]",
    paths: "Sequence[Path] | None",
    img_size: tuple[int, int] | None,
    choice: "Choice",
) -> "list[Attention]":
    """Run every network on every image."""
    from saevit.attention import images
    from saevit.attention.look import look
    from saevit.attention.network import network

    if paths:
        files = images.found(paths)
    else:
        files = [images.shipped_photo()]
        typer.echo(f"no --image: using {files[0].name}, which matplotlib ships", err=True)
    seen = []
    with output.progress() as tell:
        for model, checkpoint in pairs:
            net = network(model, img_size, checkpoint)

            def on_image(done: int, name: str = net.name) -> None:
                tell(name, done / len(files), None)

            seen.append(look(net, files, net.img_size, choice, on_image))
    for one in seen:
        if one.is_random:
            typer.echo(f"{one.model} has random weights, nothing was learned: --checkpoint FILE", err=True)
        for failure in one.failures:
            typer.echo(f"warning: left out: {failure}", err=True)
    return seen


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where figure and numbers go."""

    figure: Path
    json: str | None
    csv: str | None
    npz: Path | None

    def check(self, *, overwrite: bool) -> None:
        """Refuse, before any work, what cannot be written."""
        from saevit.report.figure import FORMATS

        if str(self.figure) == output.STDOUT:
            raise OptionError("--output -: a figure is a file, name one such as attention.png")
        output.check_one_stdout(json=self.json, csv=self.csv)
        output.check_target("--output", self.figure, overwrite=overwrite, endings=FORMATS)
        output.check_target("--json", self.json, overwrite=overwrite)
        output.check_target("--csv", self.csv, overwrite=overwrite)
        output.check_target("--npz", self.npz, overwrite=overwrite, endings=(".npz",))

    def emit(self, seen: "Sequence[Attention]", view: str) -> None:
        """Write what was asked for; tables go to stdout unless data does."""
        from saevit.report.attention import machine
        from saevit.report.attention.draw import attention_figure
        from saevit.report.attention.numbers import attention_tables
        from saevit.report.figure import save

        if self.json:
            output.write_text(self.json, machine.attention_json(seen))
        if self.csv:
            output.write_text(self.csv, machine.attention_csv(seen))
        if self.npz:
            output.write_file(self.npz, lambda path: machine.save_arrays(seen, path))
        if output.STDOUT not in (self.json, self.csv):
            for one in seen:
                output.show(attention_tables(one))
        output.write_file(self.figure, lambda path: save(attention_figure(view, seen), path))
