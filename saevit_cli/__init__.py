"""The command line: each command parses its options, calls the library, shows tables and writes files.

`app` starts a command of `commands`, which uses `options` and `readers` for its input, and `output` and
`display` for its results. It imports everything of `saevit`, and nothing imports it.
"""
