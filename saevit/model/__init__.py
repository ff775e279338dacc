"""The readable network: layers, the two blocks, the pyramid, its folded form, and its names in timm.

Before it comes `saevit.variant`, the sizes that a network is built from. After it come counting and training.
"""
