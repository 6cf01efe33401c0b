"""`python -m avbook`: the same as the `avbook` command."""

from avbook.cli import main

if __name__ == "__main__":
    main()
