"""AISHELL-2021-Eval: Mandarin test sets A, C and D, in-car and telephone speech. By application to AISHELL, for
research only.

Layout: not found in any public text, so a generic reader serves: SRC/A, SRC/C and SRC/D, each with the audio of its set
anywhere below and a transcript "ID text" (trans.txt, text, text.txt, transcript.txt, or what --set transcript=PATH is
in that folder), where ID is the name of a file without its suffix. If yours are called otherwise, link them so.
Quirks: unknown; audio without a line (no_text) and lines without audio (missing_wav) are counted.
"""

from espnet_llmasr.data.formats.generic import wav_folder
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterances

NAMES = ("trans.txt", "text", "text.txt", "transcript.txt")


def read(source: Source, transcript: str = "") -> Utterances:
    folder = source.need(source.part)
    names = [transcript] if transcript else NAMES
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(f"{folder} holds no {', '.join(names)}: name its lines 'ID text' with --set transcript=FILE")
    yield from wav_folder(source, folder, path)


PARTS = {name: f"set {name}" for name in "ACD"}
CORPUS = Corpus(
    read, "zh", PARTS, "by application, research only", "https://aishelltech.com/aishell_2021_eval", benchmark=True
)
