"""Training and evaluation of networks on labelled images.

`data_sources` opens images, `recipe` has the hyperparameters, `preparation` builds a run, `engine` and `loop`
train it, `run_folder` stores it, and `accuracy` evaluates the weights. `saevit.models` builds the networks.
"""
