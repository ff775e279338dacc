"""The command line: each command parses its options, calls the library, shows tables and writes files.

`app` starts a command of `commands`. Commands use `options` and `readers` for their input, and `output` and
`display` for their results. The library `saevit` does not import this package.
"""
