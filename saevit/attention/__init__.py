"""What the attention of a network looks at: maps of one image, and numbers over several images.

`network` opens a model (`saevit.models`), `capture` records attention between tokens, and `effective` is the
attention between pixels, from which `maps` and `numbers` follow. `saevit.report` shows what `look` returns.
"""
