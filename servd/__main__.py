"""`python -m servd`: the same as the `servd` command. `servd start` runs the daemon this way."""

from servd.cli.main import main

if __name__ == "__main__":
    main()
