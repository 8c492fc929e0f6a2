"""Train a hybrid supernet, or one found network: `python train.py --help`."""

from shiftaddnas.cli.train import main

if __name__ == "__main__":
    main()
