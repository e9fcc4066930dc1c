"""VoxPopuli English: 543 h of the European Parliament, 16 kHz., CC0.

Layout: what the owner's get_asr_data writes, transcribed_data/en/asr_{train,dev,test}.tsv and
transcribed_data/en/YYYY/ ID.ogg; or the parquet files of facebook/voxpopuli on Hugging Face,
en/{train,validation,test}-*.parquet. SRC is the folder that holds transcribed_data/, or en/ (or data/en/) with the
parquet files.
Quirks: an utterance joins several pieces of the session, so only the cut files are the benchmark: times in
raw_audios/ give other audio. raw_text (case, punctuation, digits) is sometimes empty; then normalized_text is taken,
which is in lower case. Quote characters are text. Ids hold ":" and begin with the year. A speaker may be "None".
"""

from espnet_llmasr.data.formats.readers import parquet, table
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

PARTS = {"train": "some 530 h", "dev": "some 5 h", "test": "some 5 h"}
COLUMNS = ("raw_text", "normalized_text", "speaker_id")


def read(source: Source) -> Utterances:
    manifest = source.path / "transcribed_data" / "en" / f"asr_{source.part}.tsv"
    if manifest.exists():
        for row in table(source, manifest, columns=("id", *COLUMNS)):
            yield utterance(row["id"], str(manifest.parent / row["id"][:4] / f"{row['id']}.ogg"), row)
        return
    split = "validation" if source.part == "dev" else source.part
    files = source.find(
        manifest.relative_to(source.path).as_posix(), f"en/{split}-*.parquet", f"data/en/{split}-*.parquet"
    )
    for row in parquet(source, files, ["audio_id", *COLUMNS], id_of=lambda row: row["audio_id"]):
        yield utterance(row["audio_id"], row["audio"], row)


def utterance(name: str, audio: str, row: dict) -> Utterance:
    raw, normalized, speaker = ((row[column] or "").strip() for column in COLUMNS)
    return Utterance(name, audio, raw or normalized, speaker="" if speaker == "None" else speaker)


CORPUS = Corpus(read, "en", PARTS, "CC0", "https://github.com/facebookresearch/voxpopuli")
