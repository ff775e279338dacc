"""Runs: what was measured, where and how, with its statistics, its file and its advice.

Data come from `measure`; `profile`, `compare` and `report` read them. Loads neither torch nor numpy.
"""
