"""Compare models by counts, published figures, measured accuracies, and the times of one interleaved run.

It uses the counts of `count` and a run of `measure`, or a stored run of `runs`. `report` shows the result.
"""
