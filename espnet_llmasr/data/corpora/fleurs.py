"""FLEURS: 10 h each of English and Mandarin, read sentences of Wikipedia, 16 kHz wav. Hugging Face google/fleurs, CC BY
4.0.

Layout: data/{en_us,cmn_hans_cn}/{train,dev,test}.tsv without header (id, file, raw_transcription, transcription,
chars, num_samples, gender) and data/LANG/audio/{train,dev,test}.tar.gz, which must be unpacked where it lies (from
memory: its members begin with the name of the part). SRC is data/ or the folder that holds it.
Quirks: two or three people read each sentence, so the id is that of a sentence, and the file names the utterance.
There are no speakers. raw_transcription has case, punctuation and digits; transcription has lost them, in cmn it is
split into characters, and it is only taken where raw_transcription is empty. cmn is zh here, as everywhere else.
"""

from pathlib import Path

from espnet_llmasr.data.formats.readers import lines
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

FOLDERS = {"en": ("en_us", "en"), "cmn": ("cmn_hans_cn", "zh")}
SPLITS = {"train": "some 3,000 utterances", "dev": "some 400 utterances", "test": "some 650 (en), 950 (cmn) utterances"}
PARTS = {f"{name}-{split}": what for name in FOLDERS for split, what in SPLITS.items()}


def read(source: Source) -> Utterances:
    name, _, split = source.part.partition("-")
    folder, lang = FOLDERS[name]
    path = source.need(f"{folder}/{split}.tsv", f"data/{folder}/{split}.tsv")
    audio = unpacked(source, path.with_name("audio") / split)
    unread = {wav.name for wav in audio.glob("*.wav")}
    for number, line in enumerate(lines(path), 1):
        cells = line.split("\t")
        if len(cells) != 7 or not cells[1].endswith(".wav"):
            source.drop(f"{path.name}:{number}", "broken_line")
            continue
        unread.discard(cells[1])
        text = cells[2].strip() or cells[3]
        yield Utterance(f"{name}_{cells[1].removesuffix('.wav')}", str(audio / cells[1]), text, lang=lang)
    for wav in sorted(unread):
        source.drop(f"{name}_{wav.removesuffix('.wav')}", "no_text")


def unpacked(source: Source, folder: Path) -> Path:
    """The folder of the audio. Raises ValueError if it is still packed, or not there."""
    archive = folder.with_name(f"{folder.name}.tar.gz")
    if not folder.is_dir() and archive.exists():
        raise ValueError(f"{archive} is still packed: tar -xzf {archive} -C {folder.parent}")
    return source.need(str(folder.relative_to(source.path)))


CORPUS = Corpus(read, "en, zh", PARTS, "CC BY 4.0", "https://huggingface.co/datasets/google/fleurs")
