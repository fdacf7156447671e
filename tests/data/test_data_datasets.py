"""Loading by name: the right data, the right split, and refusals."""

import json
from pathlib import Path

import numpy
import pytest
from PIL import Image

from data import DATASETS, ImageClasses, InputError, hashed_split, load, read_split


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """Return a folder of five classes, one image each."""
    for index in range(5):
        path = tmp_path / "own" / f"class{index}" / "1.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(numpy.full((2, 2), 10 * index, dtype=numpy.uint8)).save(path)
    return tmp_path / "own"


def write_split(folder: Path, test: str) -> str:
    """Write a split of three classes, the last as given; return its path."""
    path = folder / "split.json"
    parts = {"train": ["class0"], "validation": ["class1"], "test": [test]}
    path.write_text(json.dumps(parts))
    return str(path)


def test_folder_is_split_by_hash(own_folder: Path) -> None:
    classes, split = load("folder", own_folder, 2, None)
    assert classes.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert split == hashed_split(classes.names)


def test_folder_takes_a_split_of_ones_own(own_folder: Path, tmp_path: Path) -> None:
    _, split = load("folder", own_folder, 2, write_split(tmp_path, "class4"))
    assert split.test == ("class4",)


def test_split_that_names_an_absent_class_is_refused(own_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names 1 classes that folder does not have.*'class9'"):
        load("folder", own_folder, 2, write_split(tmp_path, "class9"))


def test_split_of_another_data_set_is_refused(own_folder: Path) -> None:
    with pytest.raises(InputError, match="names 1623 classes that folder does not have"):
        load("folder", own_folder, 2, "omniglot-background")


def test_folder_has_to_be_named() -> None:
    with pytest.raises(InputError, match="no folder given: .*`root`"):
        load("folder", None, 2, None)


def test_strokes_come_from_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave `root` out"):
        load("strokes", tmp_path, 20, None)


def test_strokes_come_with_a_split_that_names_them_all(data_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANN_CACHE", str(data_cache))
    classes, split = load("strokes", None, 20, None)
    assert sorted(split.train + split.validation + split.test) == list(classes.names)


def test_unknown_data_set_is_refused() -> None:
    with pytest.raises(InputError, match="'mnist': use one of omniglot, strokes, folder"):
        load("mnist", None, 20, None)


def test_unknown_split_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split is named 'other'"):
        load("omniglot", tmp_path / "absent", 20, "other")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_split_offered_can_be_read(dataset: str) -> None:
    for name in DATASETS[dataset].splits:
        assert read_split(name).test


def test_omniglot_by_name(
    omniglot_root: Path,
    data_cache: Path,
    omniglot: ImageClasses,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MANN_CACHE", str(data_cache))
    classes, split = load("omniglot", omniglot_root, 20, None)
    assert classes.images.equal(omniglot.images)
    assert split == read_split("omniglot-1200-423")
    _, split = load("omniglot", omniglot_root, 20, "omniglot-background")
    assert split == read_split("omniglot-background")
