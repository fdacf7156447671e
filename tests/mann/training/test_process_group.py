"""A process group: shards of a batch, and a single process as a group of one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data import ImageClasses, InputError, Split
from mann.problems import Classification
from mann.settings import Config
from mann.training import ProcessGroup, joined


@given(st.integers(1, 40), st.integers(1, 40))
def test_shards_cut_a_batch_into_parts_of_nearly_equal_size(batch: int, size: int) -> None:
    groups = [ProcessGroup(rank, size) for rank in range(size)]
    sequences = [list(range(batch))[group.sequences(batch)] for group in groups]
    assert [index for shard in sequences for index in shard] == list(range(batch))
    assert max(map(len, sequences)) - min(map(len, sequences)) <= 1
    assert [group.fraction(batch) for group in groups] == [len(shard) / batch for shard in sequences]
    for group in groups:
        if batch < size:
            with pytest.raises(InputError, match=f"`batch` {batch} cannot be shared by {size} processes: start fewer"):
                group.refuse_small(batch)
        else:
            group.refuse_small(batch)


def test_a_shard_holds_the_sequences_of_a_process_and_losses_of_shards_add_up(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    problem = Classification(tiny_config, tiny_classes, tiny_split)
    episode = problem.episode(0)
    whole, counts = problem.loss(episode)
    groups = [ProcessGroup(rank, 2) for rank in range(2)]
    shards = [group.shard(episode, 2) for group in groups]
    for shard, column in zip(shards, range(2), strict=True):
        assert all(torch.equal(part, full[:, column : column + 1]) for part, full in zip(shard, episode, strict=True))
    parts = [problem.loss(shard) for shard in shards]
    total = sum(loss * group.fraction(2) for (loss, _), group in zip(parts, groups, strict=True))
    torch.testing.assert_close(total, whole)
    assert torch.equal(torch.cat([part.counted for _, part in parts]), counts.counted)


def test_a_single_process_is_a_group_that_sums_nothing() -> None:
    with joined(torch.device("cpu")) as group:
        assert (group.rank, group.size, group.is_main) == (0, 1, True)
        tensor = torch.tensor([1.0, 2.0])
        group.all_reduce([tensor])
        group.barrier()
        assert tensor.tolist() == [1, 2] and group.sum(7) == 7
        whole = torch.zeros(3, 2)
        assert group.shard(whole, 2) is whole
    assert not ProcessGroup(1, 2).is_main
