"""LibriHeavy: 50 K h of English audiobooks with case and punctuation, 16 kHz flac. The manifests are pkufool/libriheavy
on Hugging Face and ModelScope, the audio is Libri-Light (https://github.com/facebookresearch/libri-light); Apache-2.0
(manifests, from memory), public domain (audio).

Layout: libriheavy_cuts_PART.jsonl.gz (cuts of lhotse, one JSON object per line), beside
librilight/{small,medium,large}/SPEAKER/BOOK/NAME.flac; --set audio=FOLDER names the folder of small, medium and
large if it lies elsewhere. SRC is the folder of the manifests or the one that holds libriheavy/.
Quirks: the manifests hold paths of their authors (download/librilight/...), of which only the last four parts are
used. texts[0] is the text of the book, texts[1] that of a recogniser in upper case: the first is taken; its curly
quotes stay. Ids hold "/". A cut starts in the recording, its supervision in the cut (at 0). small, medium and large
exclude each other: all three make the 50 K h. large has 10 M lines and is streamed.
"""

from pathlib import Path

from espnet_llmasr.data.formats.readers import json_lines
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

PARTS = {"small": "509 h", "medium": "some 4,500 h", "large": "some 46,000 h", "dev": "22 h"}
PARTS |= {"test_clean": "11 h", "test_other": "11 h", "test_clean_large": "108 h", "test_other_large": "100 h"}


def read(source: Source, audio: str = "librilight") -> Utterances:
    name = f"libriheavy_cuts_{source.part}.jsonl.gz"
    manifest, root = source.need(name, f"libriheavy/{name}"), source.path / audio
    if not root.is_dir():
        raise ValueError(f"{root} is no folder: --set audio=FOLDER names that of Libri-Light's small, medium and large")
    for cut in json_lines(source, manifest):
        try:
            utterance = utterance_of(cut, root)
        except (KeyError, IndexError, TypeError):
            source.drop(str(cut.get("id", name)), "broken_cut")
            continue
        yield utterance


def utterance_of(cut: dict, root: Path) -> Utterance:
    """Raises KeyError, IndexError or TypeError where the cut lacks something."""
    spoken, recording = cut["supervisions"][0], cut["recording"]
    path = root.joinpath(*Path(recording["sources"][0]["source"]).parts[-4:])
    times = dict(start=cut["start"], end=cut["start"] + cut["duration"], recording=recording["id"])
    return Utterance(cut["id"], str(path), spoken["custom"]["texts"][0], str(spoken.get("speaker") or ""), **times)


LICENCE = "Apache-2.0 (manifests), public domain (audio)"
CORPUS = Corpus(read, "en", PARTS, LICENCE, "https://huggingface.co/datasets/pkufool/libriheavy")
