"""The views of results: one module per result, with its tables, its CSV and its JSON.

A view lists the columns of a result (see `report.columns`). The commands print views and write the files.
"""
