"""Which rows are decoded together."""

from models.decoding_options import Decoding
from tasks.decoding_groups import groups


def test_rows_of_like_lengths_within_the_positions_of_the_cache():
    lengths = [5, 1, 30, 6, 2]
    assert list(groups(lengths, Decoding(max_new_tokens=4), positions=20)) == [[1, 4], [0, 3], [2]]
    assert list(groups(lengths, Decoding(max_new_tokens=4))) == [[1, 4, 0, 3, 2]]
    beam = Decoding(method="beam", beams=2, max_new_tokens=4)
    assert list(groups(lengths, beam, positions=25)) == [[1, 4], [0], [3], [2]]
    assert list(groups([], Decoding())) == []
