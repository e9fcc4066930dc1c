"""WSC-Eval-ASR: the benchmark of WenetSpeech-Chuan, Sichuanese, wav. ASLP-lab/WSC-Eval on Hugging Face; its licence
stands there.

Layout: WSC-Eval-ASR/{Easy,Hard}/{text,wav.scp,wav/ID.wav}; SRC is WSC-Eval-ASR/ or the folder that holds it. Short/ and
Long/ hold the same audio once more, divided otherwise, and are not offered.
Quirks: wav.scp names paths on its authors' machine, so wav/ID.wav is taken; * stands for what could not be understood
and goes; （） hold words of another speaker in the background, and only the brackets go.
"""

from dataclasses import replace

from espnet_llmasr.data.formats.generic import wav_folder
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterances

MARKS = str.maketrans("", "", "*＊()（）")


def read(source: Source) -> Utterances:
    folder = source.need(*(f"{root}{source.part.title()}" for root in ("WSC-Eval-ASR/", "")))
    for utterance in wav_folder(source, folder / "wav", folder / "text"):
        yield replace(utterance, text=utterance.text.translate(MARKS))


PARTS = {"easy": "6981 utterances", "hard": "1392 utterances"}
LICENCE = "see the dataset's page"
CORPUS = Corpus(read, "zh-sichuan", PARTS, LICENCE, "https://huggingface.co/datasets/ASLP-lab/WSC-Eval", benchmark=True)
