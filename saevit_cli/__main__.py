"""`python -m saevit_cli`, the same as `saevit`."""

from saevit_cli.app import main

main()
