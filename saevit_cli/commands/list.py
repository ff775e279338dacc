"""`saevit list`."""

from saevit_cli.display import show_tables


def list_variants() -> None:
    """Show the presets and the keys of variants."""
    from saevit.report.variants import keys_table, presets_table

    show_tables((presets_table(), keys_table()))
