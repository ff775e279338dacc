"""The HTML report of a comparison: one file with tables, samples, an interactive plot and the raw data.

It writes what `saevit.comparing` returns, with the columns of `saevit.report.views.compare` and the metrics
of `saevit.report.metrics`, for `saevit compare --report`.
"""
