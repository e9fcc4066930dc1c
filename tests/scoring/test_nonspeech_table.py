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


def rows(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_kinds_without_and_with_the_guard(folders, tmp_path, capsys):
    data, off, flag = folders
    options = ["--data_dir", data, "--hyp_dir", off, "--guard_dir", flag, "--out", tmp_path / "out.md"]
    nonspeech_table.main([str(option) for option in options])
    header, _, *table = rows(tmp_path / "out.md")
    assert header[:3] == ["kind", "clips", "non-empty % (95 %)"] and header[5] == "guard: non-empty % (95 %)"
    assert [(row[0], row[1], *(cell.split(" (")[0] for cell in row[2:])) for row in table] == [
        ("hum", "2", "50.00", "0.00", "200", "0.00", "0.00", "0"),
        ("white", "3", "66.67", "66.67", "1467", "33.33", "33.33", "800"),
        ("all", "5", "60.00", "40.00", "960", "20.00", "20.00", "480"),
    ]
    assert table[2][2] == "60.00 (23.07-88.24)"  # Wilson's of 3 in 5
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out.md").read_text(encoding="utf-8") and "Route none (1)." in printed


def test_what_was_decoded_again_counts_as_it_stands(folders, tmp_path):
    data, off, flag = folders
    options = ["--data_dir", data, "--hyp_dir", off, "--redecode_dir", flag, "--out", tmp_path / "out.md"]
    nonspeech_table.main([str(option) for option in options])
    header, _, *table = rows(tmp_path / "out.md")
    assert header[5:] == [f"redecode: {name}" for name in header[2:5]] and table[2][5:] == table[2][2:5]


def test_alarm_and_no_guard(folders, tmp_path):
    data, off, _ = folders
    (off / "text").write_text("".join(f"{uid} {'word ' * 10}\n" for uid in TEXTS))
    nonspeech_table.main(["--data_dir", str(data), "--hyp_dir", str(off), "--out", str(tmp_path / "out.md")])
    assert all(
        row[4].startswith("1600 (") and row[4].endswith("-1600) !") and len(row) == 5
        for row in rows(tmp_path / "out.md")[2:]
    )


def test_mistakes_are_one_line(folders, command):
    data, off, _ = folders
    (off / "text").write_text("hum-0\nhum-9 x\n")
    result = command(nonspeech_table, "--data_dir", data, "--hyp_dir", off)
    assert result.code == 1 and result.err.count("\n") == 1 and "4 references have no hypothesis" in result.err
    (off / "text").write_text("".join(f"{uid}\n" for uid in TEXTS))
    (data / "text").write_text("".join(f"{uid} said\n" for uid in TEXTS))
    result = command(nonspeech_table, "--data_dir", data, "--hyp_dir", off)
    assert result.code == 1 and f"{data} is no suite of bin.make_nonspeech" in result.err
