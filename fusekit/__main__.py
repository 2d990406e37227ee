"""``python -m fusekit``: the command line."""

from fusekit.cli.app import main

if __name__ == "__main__":
    main()
