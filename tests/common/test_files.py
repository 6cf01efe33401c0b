"""Files are written whole or not at all."""

import pytest

from avbook.common import files
from avbook.common.files import write_text


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "record.json"
    write_text(path, "first")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError):
        write_text(path, "second")
    assert path.read_text() == "first" and [p.name for p in path.parent.iterdir()] == [
        "record.json"
    ]
