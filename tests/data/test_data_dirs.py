import pytest
from espnet_llmasr.data.data_dirs import rows, sparse


def test_a_sparse_table_and_rows_side_by_side(tmp_path):
    (tmp_path / "text").write_text("a one two\nb three\nd four\n")
    (tmp_path / "utt2dur").write_text("a 1\nb 2\nd 3\n")
    (tmp_path / "text_spoken").write_text("b said\nd x\n")
    spoken = sparse(tmp_path / "text_spoken")
    got = [(key, text, seconds, spoken(key)) for key, text, seconds in rows(tmp_path, "text", "utt2dur")]
    assert got == [(b"a", b"one two", b"1", b""), (b"b", b"three", b"2", b"said"), (b"d", b"four", b"3", b"x")]
    assert sparse(tmp_path / "none")(b"a") == b""


@pytest.mark.parametrize("broken", ["a 1\nb 2\n", "a 1\nb 2\nd 3\ne 4\n", "a 1\nc 2\nd 3\n"])
def test_tables_that_differ_are_refused(tmp_path, broken):
    (tmp_path / "text").write_text("a 1\nb 2\nd 3\n")
    (tmp_path / "utt2dur").write_text(broken)
    with pytest.raises(ValueError, match="check_data.py .* tells more"):
        list(rows(tmp_path, "text", "utt2dur"))
