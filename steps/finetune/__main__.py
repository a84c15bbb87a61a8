"""`python -m steps.finetune`."""

from steps.wrapper import main

main("finetune")
