"""Timing of networks on this machine: conditions, runtimes, interleaved rounds, times of modules.

Takes counted models (`count`, `baselines`) and returns a `runs.run.Run` for `profile` and `compare`.
"""
