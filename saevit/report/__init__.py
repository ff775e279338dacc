"""What users read: tables (`views`, made of `columns`), figures (`scatter` and one file a figure), pages.

Reads the results of every capability; only `saevit_cli` imports it.
"""
