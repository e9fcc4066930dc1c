from pathlib import Path

import pytest

SAID = {  # in the order of the ids in a data directory
    "16_10_000001": "the ship's bell",
    "16_10_000002": "back",
    "1600_10_000001": "don't look at her",
    "161_7_000009": "gone",
}
IDS = tuple(SAID)
TEXT = [f"mls_english_{name.partition('_')[0]}-{name} {text}" for name, text in SAID.items()]


@pytest.fixture
def tree(sound, write):
    """tree(root, suffix, *ids): a part with its transcripts and the audio of these ids."""

    def make_tree(part: Path, suffix: str, *names: str):
        write(part / "transcripts.txt", "".join(f"{name}\t{SAID[name]}\n" for name in reversed(IDS)))
        for name in names:
            speaker, book, _ = name.split("_")
            sound(part / "audio" / speaker / book / f"{name}{suffix}", 0.3 + 0.1 * len(speaker))

    return make_tree


@pytest.mark.parametrize("folder, suffix", [("mls_english", ".flac"), ("mls_english_opus", ".opus")])
@pytest.mark.parametrize("inside", [False, True])
def test_each_tree_alone(make, tree, tmp_path, folder, suffix, inside):
    tree(tmp_path / folder / "test", suffix, *IDS)
    data = make("mls_english", tmp_path / folder if inside else tmp_path, "test")
    assert data.lines("text") == TEXT
    assert list(data.table("utt2spk").values()) == [f"mls_english_{speaker}" for speaker in (16, 16, 1600, 161)]
    path = tmp_path / folder / "test" / "audio" / "16" / "10" / f"16_10_000001{suffix}"
    assert data.table("wav.scp")["mls_english_16-16_10_000001"] == str(path)
    assert set(data.table("utt2lang").values()) == {"en"} and data.dropped == {}


def test_both_trees_are_never_mixed(make, tree, tmp_path):
    tree(tmp_path / "mls_english" / "dev", ".flac", *IDS[:3])
    tree(tmp_path / "mls_english_opus" / "dev", ".opus", *IDS)
    data = make("mls_english", tmp_path, "dev")
    assert all(entry.endswith(".flac") for entry in data.table("wav.scp").values())
    assert data.stats["utts"] == 3 and data.dropped == {"161_7_000009": "missing_wav"}


def test_one_tree_with_both_formats_is_read_as_flac(make, tree, tmp_path):
    for suffix in (".opus", ".flac"):
        tree(tmp_path / "dev", suffix, IDS[0])
    tree(tmp_path / "dev", ".opus", IDS[1])
    (entry,) = make("mls_english", tmp_path, "dev").table("wav.scp").values()
    assert entry == str(tmp_path / "dev" / "audio" / "16" / "10" / "16_10_000001.flac")


def test_limited_supervision_takes_what_its_handles_name(make, tree, write, tmp_path):
    train = tmp_path / "mls_english" / "train"
    tree(train, ".flac", *IDS)
    write(train / "limited_supervision" / "9hr" / "handles.txt", "161_7_000009\n16_10_000002\n5_5_000005\n")
    write(train / "limited_supervision" / "1hr" / "0" / "handles.txt", "16_10_000001\n")
    write(train / "limited_supervision" / "1hr" / "5" / "handles.txt", "1600_10_000001\n")
    nine = make("mls_english", tmp_path, "limited-9h")
    assert nine.lines("text") == [TEXT[1], TEXT[3]] and nine.dropped == {"5_5_000005": "no_text"}
    assert len(make("mls_english", tmp_path, "limited-1h").lines("text")) == 2
    assert make("mls_english", tmp_path, "train").stats["utts"] == 4
