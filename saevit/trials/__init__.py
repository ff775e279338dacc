"""Trials: train and evaluate several models, each with several seeds, by one recipe and one budget.

`trial` has the plan, `schedule` the order, and `runner` the execution with `saevit.train`. Results go to the
store of `saevit.runs`.
"""
