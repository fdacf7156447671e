"""Omniglot: the real data, where they are available."""

import zipfile
from pathlib import Path

import numpy
import pytest
from PIL import Image

from data import ImageClasses


def test_real_omniglot_is_whole_and_right(omniglot: ImageClasses) -> None:
    assert len(omniglot.names) == 1623
    assert omniglot.names == tuple(sorted(omniglot.names))
    assert omniglot.counts.tolist() == [20] * 1623
    # Ink is the smaller part of every image, and none is empty.
    ink = omniglot.images.float().mean(dim=(2, 3)) / 255
    assert ink.min() > 0.001 and ink.max() < 0.4
    assert 0.07 < ink.mean() < 0.09


def test_real_image_agrees_with_its_file(omniglot_root: Path, omniglot: ImageClasses) -> None:
    if not (omniglot_root / "images_evaluation.zip").is_file():
        pytest.skip("needs the archives of Omniglot, not the extracted images")
    with (
        zipfile.ZipFile(omniglot_root / "images_evaluation.zip") as archive,
        archive.open("images_evaluation/Tibetan/character42/1597_07.png") as file,
    ):
        ink = 1.0 - numpy.asarray(Image.open(file).convert("1"), dtype=float)
    found = omniglot.images[omniglot.names.index("Tibetan/character42"), 6].numpy() / 255
    # 20 cuts of 5.25 pixels: each row and column belongs to the group its centre falls into.
    groups = numpy.ceil((numpy.arange(105) + 0.5) / 5.25).astype(int) - 1
    share = (groups == numpy.arange(20)[:, None]) / numpy.bincount(groups)[:, None]
    assert found.max() > 0.5
    assert numpy.abs(found - share @ ink @ share.T).max() < 1.01 / 255
