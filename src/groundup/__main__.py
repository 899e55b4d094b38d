"""`python -m groundup`: the same as the `groundup` command."""

from groundup.cli import main

main()
