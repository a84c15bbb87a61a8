"""Ranks: the same bytes for any number of them, and after any of them was killed."""

import random
import socket

import pytest

from artifacts.errors import UserError
from tests import small_training
from tests.outlier import BAD, SPIKE, Outlier
from tests.rank_processes import Fault, train, train_all
from training import ranks
from training.torch.ranks import TorchRanks

UPDATES = 12  # with a checkpoint after each fourth


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The digest of the training in one process."""
    return small_training.digest(small_training.train(tmp_path_factory.mktemp("alone"), max_updates=UPDATES))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_ranks_gives_the_same_bytes(tmp_path, alone, count):
    assert train(tmp_path / "work", count, max_updates=UPDATES) == alone


def test_ranks_share_blocks_of_texts_with_the_same_bytes(tmp_path):
    packed = {"max_updates": 6, "packing": True}
    expected = small_training.digest(small_training.train(tmp_path / "alone", **packed))
    assert train(tmp_path / "work", 2, **packed) == expected


def test_lost_rank_ends_the_training_with_one_line(tmp_path, alone):
    lost = train(tmp_path / "work", 2, Fault(rank=1, update=5), max_updates=UPDATES)
    assert lost.startswith("lost: another rank of the training is gone")
    assert "\n" not in lost
    assert checkpoints(tmp_path / "work") == [4, 5], "nothing that was done is lost"
    assert train(tmp_path / "work", 1, max_updates=UPDATES) == alone


def test_slow_rank_is_waited_for(tmp_path, alone):
    assert train(tmp_path / "work", 2, Fault(1, 5, "slow"), max_updates=UPDATES) == alone


def test_rank_that_never_answers_is_lost_after_a_time(tmp_path, alone):
    lost = train(tmp_path / "work", 2, Fault(1, 5, "SIGSTOP"), max_updates=UPDATES)
    assert lost.startswith("lost: another rank of the training is gone")
    assert "\n" not in lost
    assert train(tmp_path / "work", 2, max_updates=UPDATES) == alone


@pytest.mark.parametrize(("rank", "answer"), [(0, "interrupted"), (1, "lost: another rank of the training is gone")])
def test_sigterm_to_one_rank_ends_all_after_a_checkpoint(tmp_path, alone, rank, answer):
    assert train(tmp_path / "work", 2, Fault(rank, 6, "SIGTERM"), max_updates=UPDATES).startswith(answer)
    assert checkpoints(tmp_path / "work") == [4, 7 if rank == 0 else 6]
    assert train(tmp_path / "work", 4, max_updates=UPDATES) == alone


@pytest.mark.parametrize("rank", [0, 1])
def test_nan_on_one_rank_ends_all_with_the_same_line(tmp_path, alone, rank):
    answers = train_all(tmp_path / "work", 2, Fault(rank, 6, "nan"), max_updates=UPDATES)
    assert answers[0].startswith("error: not finite at update 7: loss nan")
    assert "\n" not in answers[0]
    assert answers[1] == answers[0]
    assert train(tmp_path / "work", 2, max_updates=UPDATES) == alone


def test_roll_back_after_a_spike_is_the_same_on_all_ranks(tmp_path):
    result = small_training.train(tmp_path / "alone", chosen=Outlier(), **SPIKE)
    roll_backs = result.history["roll_backs"]
    assert len(roll_backs) >= 2
    assert all(BAD in entry["rows"] for entry in roll_backs)
    answers = train_all(tmp_path / "work", 2, backend=Outlier, **SPIKE)
    assert answers == [small_training.digest(result)] * 2


def test_taken_port_is_named_with_remedy(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
        with pytest.raises(UserError) as raised:
            TorchRanks(0, 2)
    assert str(raised.value) == (
        f"port {port} for the ranks is taken by another program: set MASTER_PORT, or torchrun's --master-port, to a free one"
    )
    assert isinstance(ranks.current(), ranks.Alone)


def test_rank_without_a_cuda_device_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError) as raised:
        TorchRanks(2, 4, device="cuda")
    assert str(raised.value) == (
        "rank 2 of this machine has no CUDA device, of which there are 2: take as many ranks on a machine as it has devices, "
        "or set device=cpu"
    )


def test_rank_takes_the_cuda_device_of_its_number_and_exchanges_by_nccl(monkeypatch):
    taken, joined = [], []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    monkeypatch.setattr(
        "torch.distributed.init_process_group", lambda backend, **given: joined.append((backend, given["rank"]))
    )
    monkeypatch.setenv("LOCAL_RANK", "1")
    TorchRanks(3, 4, device="cuda")
    assert (taken, joined) == ([1], [("cpu:gloo,cuda:nccl", 3)])


def checkpoints(work):
    """Updates of the checkpoints that a training left."""
    return sorted(int(path.name.partition("-")[2]) for path in work.glob("checkpoints/update-*"))


def follow_schedule(work, seed):
    """Kill a random rank at a random update, with another number of ranks each time; then train to the end."""
    draw = random.Random(seed)
    for _ in range(draw.randint(1, 3)):
        count = draw.choice([1, 2, 4])
        train(work, count, Fault(draw.randrange(count), draw.randrange(UPDATES)), max_updates=UPDATES)
    return train(work, draw.choice([1, 2, 4]), max_updates=UPDATES)


@pytest.mark.parametrize("seed", range(5))
def test_any_schedule_of_kills_and_ranks_gives_the_same_bytes(tmp_path, alone, seed):
    assert follow_schedule(tmp_path / "work", seed) == alone


@pytest.mark.schedules
@pytest.mark.parametrize("seed", range(5, 25))
def test_twenty_more_schedules_give_the_same_bytes(tmp_path, alone, seed):
    assert follow_schedule(tmp_path / "work", seed) == alone
