"""The scatter plot of a comparison: points, panels with labels, captions and legend.

It draws a `Comparison` by the metrics of `saevit.report.metrics`. `saevit.report.figure` saves the figure.
"""
