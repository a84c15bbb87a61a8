"""`python -m steps.register`."""

from steps.wrapper import main

main("register")
