"""Fine-tune a pretrained network, or train one from scratch: corpus, tokenizer, checkpoint -> checkpoint."""
