"""The command line: parse, call the library, show. Nobody imports it."""
