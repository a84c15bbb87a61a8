"""Pretrain a network on all the text there is: corpus, tokenizer -> checkpoint."""
