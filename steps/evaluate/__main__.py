"""`python -m steps.evaluate`."""

from steps.wrapper import main

main("evaluate")
