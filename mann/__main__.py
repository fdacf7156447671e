"""`python -m mann COMMAND`; see `mann.cli`."""

from mann.cli import main

if __name__ == "__main__":
    main()
