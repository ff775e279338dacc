"""Search of whole spaces of variants by exact costs: fronts, the best within limits, budgets of one key.

In: a space and a question about it. Out: an exploration, whose variants `count` counts and `report` shows.
"""
