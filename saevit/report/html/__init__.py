"""The HTML page of a result (--report): one file with tables, figures, samples and the raw data.

`page` assembles it from a `View` of `saevit.report.views` and from figures of `saevit.report`.
"""
