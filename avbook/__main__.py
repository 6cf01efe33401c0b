"""`python -m avbook`: the `avbook` command."""

from avbook.cli import main

if __name__ == "__main__":
    main()
