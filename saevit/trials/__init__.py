"""Trials: several models, each trained with several seeds on equal terms, and evaluated.

Plan, schedule and runner. The training is that of `saevit.train`; results go to the store of `saevit.runs`.
"""
