"""`saevit` and `python -m saevit_cli`: what goes wrong while the command line is loaded is one line too."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from saevit_cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
    except Exception as error:  # of an import: a package that is missing or broken
        sys.stderr.write(f"error: saevit cannot be loaded: {' '.join(str(error).split())}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
