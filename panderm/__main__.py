"""``python -m panderm`` is the ``panderm`` command."""

from panderm.cli.main import main

if __name__ == "__main__":
    main()
