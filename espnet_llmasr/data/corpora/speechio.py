"""SpeechIO: 27 published Mandarin test sets, SPEECHIO_ASR_ZH00000 to ZH00026 (news, interviews, lectures, live games),
16 kHz wav, each utterance under 30 s. By request to SpeechColab, for evaluation only.

Layout: SPEECHIO_ASR_ZH00001/metadata.tsv with the columns ID, AUDIO (wav/..., relative), DURATION and TEXT, and perhaps
SPEAKER; if that is not there, trans.txt ("ID text") beside wav/ID.wav is read. SRC is the folder of these folders, or
one of them.
Quirks: ids such as U_00001 occur in several sets, so the name of the set goes before them, as its owners do
(SPEECHIO_ASR_ZH00001__U_00001); some lines hold English; ZH00000 is for trying out.
"""

from pathlib import Path

from espnet_llmasr.data.formats.mandarin import language_of
from espnet_llmasr.data.formats.readers import key_values, table
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

SETS = [f"SPEECHIO_ASR_ZH{number:05}" for number in range(27)]


def folders(source):
    if source.path.name in SETS and source.part in ("all", source.path.name):
        return [source.path]
    pattern = "SPEECHIO_ASR_ZH*" if source.part == "all" else source.part
    return [path for path in source.find(pattern, f"datasets/{pattern}") if path.is_dir()]


def read(source: Source) -> Utterances:
    for folder in folders(source):
        for name, audio, text, speaker in rows(source, folder):
            full = f"{folder.name}__{name}"
            speaker = speaker and f"{folder.name}__{speaker}"
            yield Utterance(full, str(folder / audio), text, speaker=speaker, lang=language_of(text))


def rows(source, folder):
    """(id, audio, text, speaker). Raises ValueError without metadata.tsv and trans.txt."""
    metadata, transcript = folder / "metadata.tsv", folder / "trans.txt"
    if metadata.exists():
        for row in table(source, metadata, columns=("AUDIO", "TEXT")):
            yield row.get("ID") or Path(row["AUDIO"]).stem, row["AUDIO"], row["TEXT"], row.get("SPEAKER", "")
    elif transcript.exists():
        for name, text in key_values(transcript):
            yield name, f"wav/{name}.wav", text, ""
    else:
        raise ValueError(f"{folder} holds neither metadata.tsv nor trans.txt: is it a set of SpeechIO?")


PARTS = {"all": "all sets that are there", **dict.fromkeys(SETS, "one set")}
CORPUS = Corpus(
    read, "zh", PARTS, "on request, evaluation only", "https://github.com/SpeechColab/Leaderboard", benchmark=True
)
