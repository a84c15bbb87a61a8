"""`python -m steps.train_tokenizer`."""

from steps.wrapper import main

main("train_tokenizer")
