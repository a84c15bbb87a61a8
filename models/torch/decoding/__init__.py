"""From a network to sequences: one token after another, with no position computed twice.

decodable  the calls that a search makes on a network; adapters for a decoder alone, and for an encoder and a decoder
search     `decode`: the n best sequences of each row, by the chosen method
stepwise   greedy and sampled sequences, a token at a time
filters    temperature, top-k, top-p, min-p
beam       beam search
hypothesis a finished sequence, and the tokens it may hold

The options are in `models/decoding_options.py`, which loads no torch.
"""
