"""Emilia: mp3 and json in tars, read where they lie."""

import io
import json
import tarfile

import pytest
import soundfile

EN = "EN_B00000_S00000_W00000"


@pytest.fixture
def member(sound, tmp_path):
    """member(name, suffix, text=...): (name, bytes) of the mp3, 24 kHz, or the json of an utterance."""

    def make_member(name, suffix, text=""):
        mp3 = sound(tmp_path / "inside" / f"{name}.mp3", 0.5, rate=24000)
        seconds = soundfile.info(str(mp3)).duration
        row = dict(id=name, wav="x.mp3", text=text, duration=seconds, speaker=name[:16], language="en", dnsmos=3.4)
        return f"{name}.{suffix}", mp3.read_bytes() if suffix == "mp3" else json.dumps(row).encode()

    return make_member


def write_tar(path, *members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_pairs_in_any_order_and_halves_that_are_missing(make, member, tmp_path):
    texts = {"0": " Mixed up. ", "1": " And it's right!", "3": " No sound.", "4": " Empty."}
    names = "0.json 1.mp3 0.mp3 1.json 2.mp3 3.json 4.json 5.mp3 6.mp3".split()
    members = [member(f"{EN}{name[0]}", name[2:], texts.get(name[0], "")) for name in names]
    members += [("readme.txt", b"x"), (f"{EN}4.mp3", b""), (f"{EN}5.json", b'{"text": "half')]
    members += [(f"{EN}6.json", b'{"text": "no duration"}')]
    tar = write_tar(tmp_path / "Emilia" / "EN" / "EN-B000000.tar", *members)
    yodas = [member(f"{EN}0", "mp3"), member(f"{EN}0", "json", " Yo")]
    write_tar(tmp_path / "Emilia-YODAS" / "EN" / "EN-B000000.tar", *yodas)
    data = make("emilia", tmp_path, "EN")
    speaker = "emilia_EN_B00000_S00000"
    assert data.lines("text") == [f"{speaker}-{EN}0 mixed up", f"{speaker}-{EN}1 and it's right"]
    assert set(data.table("utt2spk").values()) == {speaker}
    assert set(data.table("utt2lang").values()) == {"en"}
    data.check_dropped(missing_json=f"{EN}2", missing_wav=f"{EN}3", empty_wav=f"{EN}4", broken_json=f"{EN}5 {EN}6")
    content = tar.read_bytes()
    for key, entry in data.table("wav.scp").items():
        path, _, offset = entry.rpartition(":")
        assert path == str(tar)
        name = key.partition("-")[2]
        assert content[int(offset) :].startswith(member(name, "mp3")[1])
    yodas = make("emilia", tmp_path, "YODAS-EN")  # the same names as in the other tree
    assert yodas.lines("utt2spk") == [f"emilia_YODAS_EN_B00000_S00000-YODAS_{EN}0 emilia_YODAS_EN_B00000_S00000"]
    assert yodas.lines("wav.scp")[0].endswith("/Emilia-YODAS/EN/EN-B000000.tar:512")


def test_a_truncated_tar_gives_what_is_whole(make, check_shards, member, tmp_path):
    first = [member(f"{EN}{n}", suffix, " 你好，世界。") for n in (0, 1) for suffix in ("json", "mp3")]
    folder = tmp_path / "Emilia" / "ZH"
    cut = write_tar(folder / "ZH-B000000.tar", *first)
    cut.write_bytes(cut.read_bytes()[: -10240 - 512])
    write_tar(folder / "ZH-B000001.tar", member(f"{EN}2", "mp3"), member(f"{EN}2", "json", " 再见"))
    data = make("emilia", tmp_path, "ZH")
    assert [line.split("-")[1] for line in data.lines("text")] == [f"{EN}0 你好世界", f"{EN}2 再见"]
    assert set(data.table("utt2lang").values()) == {"zh"}
    assert data.dropped == {f"ZH-B000000.tar/{EN}1.mp3": "truncated_tar", f"{EN}1": "missing_wav"}
    check_shards("emilia", tmp_path, "ZH", 2)


def test_the_older_layout(make, sound, write, tmp_path):
    mp3 = "EN_B00000/EN_B00000_S00000/mp3"
    sounds = [sound(tmp_path / "raw" / "EN" / mp3 / f"{EN}{n}.mp3", 0.5, rate=24000) for n in (0, 1)]
    row = dict(id=f"{EN}0", wav=f"{mp3}/{EN}0.mp3", text=" Old.", speaker="EN_B00000_S00000", language="en")
    rows = [
        dict(row, duration=soundfile.info(str(sounds[0])).duration),
        dict(row, id=f"{EN}8", wav=f"{mp3}/{EN}8.mp3", duration=1),
    ]
    write(tmp_path / "raw" / "EN" / "EN_B00000.jsonl", "\n".join(map(json.dumps, rows)))
    data = make("emilia", tmp_path, "EN")
    assert data.lines("text") == [f"emilia_EN_B00000_S00000-{EN}0 old"]
    assert data.dropped == {f"{EN}8": "missing_wav"}
