"""What marking places of a text takes: tags of words, windows, simple methods beside it, its part of the report."""
