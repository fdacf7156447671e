"""The packed cache: built once, never trusted blindly, never in the way."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from data import ImageClasses, InputError
from data.cache import cache_folder, packed, source_digest


def example() -> ImageClasses:
    """Return two classes of unequal size with names outside ASCII."""
    images = torch.arange(2 * 2 * 3 * 3, dtype=torch.uint8).reshape(2, 2, 3, 3)
    images[1, 1] = 0
    return ImageClasses(images, torch.tensor([2, 1]), ("Ålfabet/one", "two"))


def must_not_build() -> ImageClasses:
    """Fail: the cache should have been used."""
    raise AssertionError("built although the packed file is whole")


def assert_same(found: ImageClasses, expected: ImageClasses) -> None:
    """Check that two sets of classes are equal in every part."""
    assert found.names == expected.names
    assert torch.equal(found.counts, expected.counts)
    assert torch.equal(found.images, expected.images)


def test_packed_once_read_afterwards(own_cache: Path) -> None:
    assert_same(packed("key", example), example())
    assert_same(packed("key", must_not_build), example())
    assert [path.suffix for path in own_cache.iterdir()] == [".safetensors"]


def test_another_key_is_built_again() -> None:
    packed("key", example)
    with pytest.raises(AssertionError, match="built although"):
        packed("other", must_not_build)


def test_folder_given_wins_over_the_environment(own_cache: Path, tmp_path: Path) -> None:
    packed("key", example, tmp_path / "here")
    assert len(list((tmp_path / "here").iterdir())) == 1
    assert not own_cache.exists()


def test_environment_names_the_folder(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == own_cache
    monkeypatch.delenv("MANN_CACHE")
    assert cache_folder().name == "mann"


def cut_off(path: Path) -> None:
    """Cut the file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Leave nothing."""
    path.write_bytes(b"")


def turn_one_bit(path: Path) -> None:
    """Change the last pixel or count: the file still parses."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def rename_a_class(path: Path) -> None:
    """Change the names: all parts still fit together."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in ("images", "counts")}
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata | {"names": '["one", "two"]'})


def leave_out_the_metadata(path: Path) -> None:
    """Write a valid file of somebody else's."""
    save_file({"images": torch.zeros(1), "counts": torch.zeros(1)}, path)


def put_a_folder(path: Path) -> None:
    """Put something in the way that is no file."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut_off, empty, turn_one_bit, rename_a_class, leave_out_the_metadata])
def test_damaged_file_is_built_again(own_cache: Path, damage: Callable[[Path], None]) -> None:
    packed("key", example)
    (path,) = own_cache.iterdir()
    damage(path)
    built = []

    def build() -> ImageClasses:
        built.append(True)
        return example()

    assert_same(packed("key", build), example())
    assert built == [True]
    assert_same(packed("key", must_not_build), example())


def test_cache_that_cannot_be_written_costs_a_warning_only(own_cache: Path) -> None:
    packed("key", example)
    (path,) = own_cache.iterdir()
    put_a_folder(path)
    with pytest.warns(UserWarning, match="not kept"):
        assert_same(packed("key", example), example())


def test_nothing_is_kept_when_building_fails(own_cache: Path) -> None:
    with pytest.raises(AssertionError):
        packed("key", must_not_build)
    assert not own_cache.exists()


def build_with_another(folder: Path, both_build: Barrier) -> None:
    """Build only once another process builds the same."""

    def build() -> ImageClasses:
        both_build.wait(timeout=60)
        return example()

    assert_same(packed("key", build, folder), example())


def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path, context.Barrier(2))
    workers = [context.Process(target=build_with_another, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert_same(packed("key", must_not_build, tmp_path), example())
    assert len(list(tmp_path.iterdir())) == 1  # no temporary file is left


def test_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"content")
    second.write_bytes(b"content")
    assert source_digest(first) == source_digest(second)
    second.write_bytes(b"Content")
    assert source_digest(first) != source_digest(second)


def test_digest_of_a_folder_follows_names_sizes_and_times(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "file").write_bytes(b"content")
    digests = [source_digest(tmp_path)]
    (inner / "file").write_bytes(b"more content")
    digests.append(source_digest(tmp_path))
    (inner / "file").rename(inner / "renamed")
    digests.append(source_digest(tmp_path))
    os.utime(inner / "renamed", (1, 1))
    digests.append(source_digest(tmp_path))
    assert len(set(digests)) == 4
    assert source_digest(tmp_path) == digests[-1]


def test_digest_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent cannot be read"):
        source_digest(tmp_path / "absent")
