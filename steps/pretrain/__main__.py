"""`python -m steps.pretrain`."""

from steps.wrapper import main

main("pretrain")
