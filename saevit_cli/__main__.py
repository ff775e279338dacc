"""Entry point of `saevit` and `python -m saevit_cli`; reports an error of an import in one line."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from saevit_cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
    except Exception as error:  # a package is missing or broken
        sys.stderr.write(f"error: saevit cannot be loaded: {' '.join(str(error).split())}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
