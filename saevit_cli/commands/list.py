"""`saevit list`."""

from saevit_cli.output import show


def list_variants() -> None:
    """Show the presets and the keys of variants."""
    from saevit.report.variants import keys_table, presets_table

    show((presets_table(), keys_table()))
