"""One module per view: the tables, CSV and JSON of one command's results.

A view takes results of the library and lists their columns (see `report.columns`); the commands print them.
"""
