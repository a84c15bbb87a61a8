from models.decoding_options import Decoding
from tasks.decoding_groups import groups
from training.ticks import counted, tick


def test_ticks_reach_the_innermost_count_and_none_outside():
    outer, inner = list[int](), list[int]()
    tick(1)
    with counted(outer.append):
        tick(2)
        with counted(inner.append):
            tick(3)
        tick(4)
    tick(5)
    assert (outer, inner) == ([2, 4], [3])


def test_each_row_of_a_decoding_is_counted_once_its_group_is_done():
    seen = list[int]()
    with counted(seen.append):
        parts = groups([5, 9, 2, 40, 7, 3, 3], Decoding(max_new_tokens=10), positions=40)
        first = next(parts)
        assert seen == [], "not before it is done"
        rest = list(parts)
    assert seen == [len(group) for group in [first, *rest]]
    assert len(seen) > 1
    assert sum(seen) == 7
