"""Search a hybrid network under a hardware budget: `python search.py --help`."""

from shiftaddnas.cli.search import main

if __name__ == "__main__":
    main()
