import pytest

from espnet_llmasr.bin import nonspeech_table

TEXTS = {"hum-0": "", "hum-1": "hello there", "white-0": "哈" * 50, "white-1": "ha " * 30, "white-2": ""}


@pytest.fixture
def folders(tmp_path):
    """A suite of five clips of 1.5 s, transcripts without the guard, and with it, which flags white-0 and hum-1."""

    def write(folder, **tables):
        folder.mkdir()
        for name, table in tables.items():
            lines = (f"{key} {value}\n" for key, value in table.items())
            (folder / name).write_text("".join(lines), encoding="utf-8")
        return folder

    kinds = {uid: uid[:-2] for uid in TEXTS}
    frames, empty = dict.fromkeys(TEXTS, 150), dict.fromkeys(TEXTS, "")
    data = write(tmp_path / "nonspeech", text=empty, utt2spk=kinds, utt2num_frames=frames)
    off = write(tmp_path / "off", text=TEXTS)
    flagged = {"hum-1": "unsupported", "white-0": "loop,unsupported"}
    return data, off, write(tmp_path / "flag", text=TEXTS, flagged=flagged)


@pytest.fixture
def table(folders, tmp_path, capsys):
    """Options after --data_dir and --hyp_dir -> rows of the table, which is printed and written."""

    def table_(*options):
        options = ["--data_dir", folders[0], "--hyp_dir", folders[1], *options, "--out", tmp_path / "out.md"]
        nonspeech_table.main([str(option) for option in options])
        text = (tmp_path / "out.md").read_text(encoding="utf-8")
        assert capsys.readouterr().out == text and "Route none (2)." in text
        lines = [line for line in text.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    return table_


def test_kinds_without_and_with_the_guard(folders, table):
    header, _, *rows = table("--guard_dir", folders[2])
    assert header[:3] == ["kind", "clips", "non-empty % (95 %)"] and header[5] == "guard: non-empty % (95 %)"
    assert [(row[0], row[1], *(cell.split(" (")[0] for cell in row[2:])) for row in rows] == [
        ("hum", "2", "50.00", "0.00", "200", "0.00", "0.00", "0"),
        ("white", "3", "66.67", "66.67", "1467", "33.33", "33.33", "800"),
        ("all", "5", "60.00", "40.00", "960", "20.00", "20.00", "480"),
    ]
    assert rows[2][2] == "60.00 (23.07-88.24)"  # Wilson's of 3 in 5


def test_transcripts_that_were_decoded_again_count_as_they_are(folders, table):
    header, _, *rows = table("--redecode_dir", folders[2])
    assert header[5:] == [f"redecode: {name}" for name in header[2:5]] and rows[2][5:] == rows[2][2:5]


def test_alarm_and_no_guard(folders, table):
    (folders[1] / "text").write_text("".join(f"{uid} {'word ' * 10}\n" for uid in TEXTS))
    _, _, *rows = table()
    assert all(row[4].startswith("1600 (") and row[4].endswith("-1600) !") and len(row) == 5 for row in rows)


def test_mistakes_are_one_line(folders, command):
    data, off, _ = folders
    (off / "text").write_text("hum-0\nhum-9 x\n")
    result = command(nonspeech_table, "--data_dir", data, "--hyp_dir", off)
    assert result.code == 1 and result.err.count("\n") == 1 and "4 references have no hypothesis" in result.err
    (off / "text").write_text("".join(f"{uid}\n" for uid in TEXTS))
    (data / "text").write_text("".join(f"{uid} said\n" for uid in TEXTS))
    result = command(nonspeech_table, "--data_dir", data, "--hyp_dir", off)
    assert result.code == 1 and f"{data} is no suite of bin.make_nonspeech" in result.err
