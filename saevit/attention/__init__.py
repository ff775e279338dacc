"""The attention of a network: maps of one image, and metrics over several images.

`network` opens a model, `capture` records attention between tokens, and `effective` computes attention
between pixels for `maps` and `numbers`. `look` combines them, and `saevit.report` shows the result.
"""
