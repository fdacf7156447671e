"""Splits: the committed ones, files of one's own, and the split by name hash."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import data.splits
from data import ImageClasses, InputError, Split, hashed_split, read_split, split_names

FOLDER = Path(data.splits.__file__).with_name("splits")


@pytest.mark.parametrize(
    ("name", "checksum"),
    [
        (
            "omniglot-1200-423",
            "f05c9f9a65357765195fa924ae576c8d2a9b821e77d48dad105883f036173165",
        ),
        (
            "omniglot-background",
            "5382544321557d6deefa31c9094ce4c6d67a6d21e9fdc739bb1aa2660884ad2d",
        ),
    ],
)
def test_committed_splits_never_change(name: str, checksum: str) -> None:
    content = (FOLDER / f"{name}.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == checksum


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("omniglot-1200-423", (1100, 100, 423)), ("omniglot-background", (864, 100, 659))],
)
def test_omniglot_splits_share_out_all_characters(name: str, sizes: tuple[int, ...]) -> None:
    split = read_split(name)
    assert tuple(len(part) for part in split) == sizes
    assert len(set(split.train) | set(split.validation) | set(split.test)) == 1623


@pytest.mark.parametrize("name", ["omniglot-1200-423", "omniglot-background"])
def test_omniglot_splits_name_the_real_characters(name: str, omniglot: ImageClasses) -> None:
    split = read_split(name)
    assert sorted(split.train + split.validation + split.test) == list(omniglot.names)


def test_background_split_tests_on_other_alphabets() -> None:
    split = read_split("omniglot-background")
    trained = {name.split("/")[0] for name in split.train + split.validation}
    tested = {name.split("/")[0] for name in split.test}
    assert (len(trained), len(tested)) == (30, 20)
    assert trained.isdisjoint(tested)


def test_random_split_tests_on_all_alphabets_not_on_the_last() -> None:
    # Slicing the sorted names would give 14 alphabets.
    assert len({name.split("/")[0] for name in read_split("omniglot-1200-423").test}) == 50


@pytest.mark.parametrize("name", split_names())
def test_every_committed_split_says_how_it_was_made(name: str) -> None:
    assert len(json.loads((FOLDER / f"{name}.json").read_text())["description"]) > 50
    assert isinstance(read_split(name), Split)


GOOD = {"train": ["b", "a"], "validation": ["c"], "test": ["d"]}


def write(folder: Path, content: object) -> Path:
    """Write a split of one's own."""
    path = folder / "own.json"
    path.write_text(json.dumps(content))
    return path


def test_own_split_is_read_in_its_order(tmp_path: Path) -> None:
    expected = Split(("b", "a"), ("c",), ("d",))
    assert read_split(write(tmp_path, GOOD)) == expected
    assert read_split(str(write(tmp_path, GOOD | {"description": "mine"}))) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a", "b"], "holds list; expected an object"),
        ({}, "holds nothing"),
        ({"train": ["a"], "test": ["b"]}, "holds test, train; expected"),
        (GOOD | {"valid": ["e"]}, "valid, validation; expected"),
        (GOOD | {"test": "d"}, "test must be a list of class names"),
        (GOOD | {"test": ["d", 4]}, "test must be a list of class names"),
        (GOOD | {"test": []}, "test is empty"),
        (GOOD | {"test": ["d", "a"]}, "'a' is in train and again in test"),
        (GOOD | {"train": ["a", "a"]}, "'a' is in train and again in train"),
    ],
)
def test_wrong_split_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_split(write(tmp_path, content))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_file_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no JSON file"):
        read_split(path)


def test_absent_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_split(tmp_path / "absent.json")
    with pytest.raises(InputError, match="'other'.*omniglot-1200-423, omniglot-background"):
        read_split("other")
    with pytest.raises(InputError, match="no split is named"):
        read_split("../splits/omniglot-1200-423")


class_names = st.lists(st.text(min_size=1), min_size=3, max_size=60, unique=True)


@given(class_names, st.randoms())
def test_hashed_split_shares_out_all_classes_whatever_their_order(names: list[str], random) -> None:
    split = hashed_split(names)
    assert sorted(split.train + split.validation + split.test) == sorted(names)
    assert min(len(part) for part in split) >= 1
    random.shuffle(names)
    assert hashed_split(names) == split


@given(class_names)
def test_one_class_more_moves_at_most_two_others(names: list[str]) -> None:
    def part_of(split: Split) -> dict[str, int]:
        return {name: index for index, part in enumerate(split) for name in part}

    if len(names) > 3:
        before, after = part_of(hashed_split(names[:-1])), part_of(hashed_split(names))
        assert sum(before[name] != after[name] for name in before) <= 2


@pytest.mark.parametrize(
    ("classes", "sizes"),
    [(3, (1, 1, 1)), (5, (3, 1, 1)), (10, (7, 1, 2)), (100, (70, 10, 20)), (7, (5, 1, 1))],
)
def test_hashed_split_sizes(classes: int, sizes: tuple[int, ...]) -> None:
    split = hashed_split([f"class{index}" for index in range(classes)])
    assert tuple(len(part) for part in split) == sizes


def test_hashed_split_is_the_same_on_every_machine() -> None:
    # SHA-256 begins with 34 for egg, 3a for apple, 77 for cat, bc for bear, cd for dog.
    assert hashed_split(["apple", "bear", "cat", "dog", "egg"]) == Split(
        train=("cat", "bear", "dog"), validation=("apple",), test=("egg",)
    )


def test_two_classes_cannot_be_split() -> None:
    with pytest.raises(InputError, match="2 classes cannot be split.*at least 3"):
        hashed_split(["a", "b"])
