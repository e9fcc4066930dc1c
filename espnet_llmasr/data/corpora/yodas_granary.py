"""YODAS-Granary, English: 102 K h of YouTube speech. HF espnet/yodas-granary, CC BY 3.0.

Layout: data/en000/asr_only/*.parquet with the columns utt_id, audio {bytes, path}, duration (seconds), lang, text; SRC
is the folder that holds data/, or data/ itself. Shards en0xx come from videos with manual captions, en1xx with
automatic ones.
Quirks: beside asr_only there is ast, the same audio once more for translation, which is not taken; the text is by
Whisper, with punctuation and case restored by a language model; no speakers. nvidia/Granary is another thing:
manifests only.
"""

from espnet_llmasr.data.formats.readers import parquet
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

SHARDS = {"en": "en[0-9]*", "en-manual": "en0*", "en-automatic": "en1*"}


def read(source: Source) -> Utterances:
    pattern = f"{SHARDS[source.part]}/asr_only/*.parquet"
    files = source.find(f"data/{pattern}", pattern)
    for row in parquet(source, files, ["utt_id", "duration", "text"], lambda row: row["utt_id"]):
        yield Utterance(row["utt_id"], row["audio"], row["text"] or "", duration=row["duration"])


PARTS = {"en": "all, 102 K h", "en-manual": "shards en0xx", "en-automatic": "shards en1xx"}
CORPUS = Corpus(read, "en", PARTS, "CC BY 3.0", "https://huggingface.co/datasets/espnet/yodas-granary")
