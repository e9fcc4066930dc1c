"""SPGISpeech: 5,000 h of English earnings calls, 16 kHz wav. Kensho, behind a form; not for commercial use (from
memory).

Layout: {train,val}/CALL/NUMBER.wav with {train,val}.csv, "wav_filename|wav_filesize|transcript". SRC is spgispeech/
or the folder that holds it.
Quirks: the text is fully formatted ("It's Q3's EBITDA, up 5.5%."); apostrophes, decimals and signs carry the words
and are kept. It may hold "|". A call has several speakers who are not told apart, so each utterance is its own
speaker. val serves as the test set, since test was never published (from memory).
"""

from espnet_llmasr.data.formats.readers import table
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

PARTS = {"train": "5,000 h", "val": "100 h"}
COLUMNS = ("wav_filename", "transcript")


def read(source: Source) -> Utterances:
    path = source.need(f"{source.part}.csv", f"spgispeech/{source.part}.csv")
    for row in table(source, path, "|", COLUMNS, text="transcript"):
        name = row["wav_filename"].strip()
        yield Utterance(name.removesuffix(".wav"), str(path.with_suffix("") / name), row["transcript"])


LICENCE = "Kensho's user agreement, not for commercial use"
CORPUS = Corpus(read, "en", PARTS, LICENCE, "https://datasets.kensho.com/datasets/spgispeech")
