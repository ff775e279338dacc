"""One module a view: the tables that a command shows, and the same facts as CSV and JSON.

Views take results of `profile`, `compare`, `explore`, `attention`, `train` and `runs`, and build their tables
from `saevit.report.columns`; the command line prints what they return.
"""
