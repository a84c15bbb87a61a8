"""From a network to sequences: one token after another, with no position computed twice.

decodable  the calls that a search makes on a network; adapters for a decoder alone, and for an encoder and a decoder
requests   decoding asked for in numpy, as tasks do
search     `decode`: the n best sequences of each row, by the chosen method
stepwise   greedy and sampled sequences, a token at a time
filters    temperature, top-k, top-p, min-p
beam       beam search

Options, alphabets and hypotheses are in `models/decoding.py`, which loads no torch.
"""
