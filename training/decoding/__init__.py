"""From a network to sequences: which token comes next, again and again, with no position computed twice.

options    what a user chooses
decodable  what a search asks of a network; adapters for a decoder alone, and for an encoder and a decoder
search     `decode`: the n best sequences of each row, by whichever method was chosen
stepwise   greedy and sampled sequences, a token at a time
filters    which tokens may be drawn at all: temperature, top-k, top-p, min-p
beam       beam search
hypothesis a sequence that was made, and which tokens it may hold
groups     which rows are decoded together

`options` alone is loaded by tasks when they are; the rest needs torch.
"""
