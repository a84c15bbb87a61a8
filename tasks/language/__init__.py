"""Of causal language modelling: how likely a text is, how it goes on, and what simpler models make of it."""
