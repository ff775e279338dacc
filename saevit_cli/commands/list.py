"""`saevit list`."""

from saevit_cli.display import show_tables


def list_variants() -> None:
    """Show the presets and the keys of variants."""
    from saevit.report.views.listing import tabulate_keys, tabulate_presets

    show_tables((tabulate_presets(), tabulate_keys()))
