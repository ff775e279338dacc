"""The scatter plot of a comparison: points, panels with labels, captions and legend.

It draws what `saevit.comparing` returns, by the metrics of `saevit.report.metrics`. The command line saves
the figure with `saevit.report.figure`.
"""
