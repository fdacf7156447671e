"""Files are whole or absent, whatever interrupts their writing."""

from pathlib import Path

import pytest

from mann.support.files import whole, write_text


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file.json", "old")]
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_block_that_is_interrupted_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.bin"
    with pytest.raises(error), whole(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists()
        raise error
    assert list(tmp_path.iterdir()) == []
