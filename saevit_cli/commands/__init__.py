"""One module for each command, with its options; `saevit_cli.app` imports a command when it runs.

A command comes after `options` and `readers`, calls the library, and passes results to `output`.
"""
