"""`saevit` and `python -m saevit_cli`: an interrupt while this is loaded is one line too."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from saevit_cli.app import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
