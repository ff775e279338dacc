"""What users read: tables (`views`, by `columns`), figures (`scatter`, `figure` and one file a figure), pages.

Reads the results of every capability; only `saevit_cli` imports it.
"""
