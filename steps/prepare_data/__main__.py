"""`python -m steps.prepare_data`."""

from steps.wrapper import main

main("prepare_data")
