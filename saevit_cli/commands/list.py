"""`saevit list`."""

from typing import Annotated

from saevit_cli import options, output

Csv = Annotated[str | None, options.csv_option("one row per preset")]


def list_variants(json: options.Json = None, csv: Csv = None, overwrite: options.Overwrite = False) -> int:
    """Show the presets and the keys of variants."""
    from saevit.report.views.listing import view_variants, write_presets_csv, write_variants_json

    outputs = output.Outputs({"--json": json, "--csv": csv}, overwrite=overwrite)
    outputs.show(view_variants())
    is_written = outputs.write({"--json": write_variants_json, "--csv": write_presets_csv})
    return output.exit_code(failed=not is_written)
