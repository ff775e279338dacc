"""SAEViT, a light hybrid of convolution and sparse attention: built, counted exactly, timed honestly."""

__version__ = "0.1.0"
