"""What users read: tables (`views`, made of `columns`), figures (`scatter` and one file a figure), pages.

Reads the results of every capability. `saevit_cli` imports it, and `saevit.notebook` when it shows a result.
"""
