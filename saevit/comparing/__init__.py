"""Models side by side: candidates with counts and published figures, one timed run, a comparison.

Takes counts and the run of `measure`, or a stored run of `runs`; `report` shows the comparison.
"""
