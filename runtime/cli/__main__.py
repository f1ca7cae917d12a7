"""`python -m runtime.cli` is `hostel`."""

from runtime.cli import main

main()
