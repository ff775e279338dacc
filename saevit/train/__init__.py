"""Training and evaluation of networks on labelled images.

Data sources, transforms and loaders, recipe, preparation, engine, loop, run folder, and accuracy.
Networks come from `saevit.models`; results go to `saevit.runs` and `saevit.report`.
"""
