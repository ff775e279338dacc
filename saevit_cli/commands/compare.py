"""`saevit compare`."""

from typing import TYPE_CHECKING

import typer

from saevit_cli import options, output

if TYPE_CHECKING:
    from saevit.results.comparison import Comparison

# The presets, and models that lead at their budgets; sized for two cores and three minutes.
DEFAULT = (
    "saevit_tiny",
    "saevit_pico",
    "saevit_nano",
    "saevit_small",
    "saevit_base",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small.e2400_r224_in1k",
    "mobilenetv4_conv_medium.e500_r256_in1k",
    "efficientnet_b0",
    "repvit_m0_9",
    "repvit_m1_1",
    "fastvit_t8.apple_in1k",
    "efficientvit_b1",
    "mobilevitv2_100",
    "edgenext_small",
    "efficientformer_l1",
    "starnet_s4",
)


def compare(
    models: options.Models = None,
    reference: options.Reference = None,
    img_size: options.ImgSize = "224",
    batch_size: options.OneBatch = "1",
    device: options.Device = "auto",
    dtype: options.DtypeName = "fp32",
    runtime: options.OneRuntime = "eager",
    threads: options.Threads = None,
    memory_format: options.Layout = "contiguous",
    rounds: options.Rounds = "15",
    min_time: options.MinTime = "0.1",
    measure: options.Measure = True,
    force: options.Force = False,
    sort: options.Sort = None,
    json: options.Json = None,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Set models side by side: exact counts, one interleaved timing run, published accuracies."""
    from saevit.compare import compare, resolved
    from saevit.measure.plan import Plan
    from saevit.report import metrics

    metrics.sorted_by((), sort)
    output.check_one_stdout(json=json, csv=csv)
    output.check_target("--json", json, overwrite=overwrite)
    output.check_target("--csv", csv, overwrite=overwrite)
    plan = Plan(
        batch_sizes=(options.read_count("--batch-size", batch_size),),
        device=device,
        runtimes=(runtime,),
        threads=options.read_threads(threads),
        memory_format=options.read_layout(memory_format),
        rounds=options.read_rounds(rounds),
        min_time=options.read_min_time(min_time),
        force=force,
    )
    with output.progress() as tell:
        found = compare(
            resolved(models or DEFAULT),
            reference=resolved([reference])[0] if reference else None,
            img_size=options.read_size(img_size),
            dtype=options.read_dtype(dtype),
            plan=plan if measure else None,
            on_step=lambda step: tell(step.text, step.done, step.eta),
        )
    emit(found, sort, json, csv)
    raise typer.Exit(output.exit_code(found.timings, failed=found.failed))


def emit(found: "Comparison", sort: str | None, json: str | None, csv: str | None) -> None:
    """Write what was asked for; the table goes to stdout unless data does."""
    from saevit.report import comparison

    if json:
        output.write_text(json, comparison.comparison_json(found))
    if csv:
        output.write_text(csv, comparison.comparison_csv(found))
    if output.STDOUT not in (json, csv):
        output.show((comparison.comparison_table(found, sort),))
