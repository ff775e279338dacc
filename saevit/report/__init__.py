"""Show results as tables (`views`, made of `columns`), figures (`scatter`, `*_figure`) and HTML pages.

It reads the results of all other packages. `saevit_cli` imports it, and `saevit.notebook` to show a result.
"""
