"""Hotwords in the transcripts of trained models: recall of names, error rate, leaks, and what the CTC head refuses.

    python benchmarks/hotword_transcripts.py --recipe egs2/mini_zh_en/llmasr1 joint_sft context_sft

After benchmarks/hotword_names.py and context SFT (hotwords.md has the commands); models are folders in exp/. A leak is an
utterance with an entry of the list in its transcript that it does not say; decoys are entries that nobody says.
"""

import argparse
import os
import re
from pathlib import Path

import torch
from common import machine, table
from hotwords import SETS, made_entries, noise_clips

from espnet_llmasr.files import read_scp
from espnet_llmasr.inference.hypothesis import UNHEARD_HOTWORD
from espnet_llmasr.inference.speech2text import Speech2Text
from espnet_llmasr.metrics.error_rate import count_errors
from espnet_llmasr.text.hotwords import read_hotwords
from espnet_llmasr.text.normalize import HAN
from espnet_llmasr.train.speech_batches import SpeechSet

TOKEN = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
HEAD = ("exp/ctc_head/config.yaml", "exp/ctc_head/latest.pth")
MANY = 100_000  # made entries of the longest list
HEADER = "model|set|list: said + decoys|hinted|decoded again|recall zh|recall en|recall|MER %|leaks|flagged"


class Counter:
    """Counts, while a `HotwordDecoder` works, the utterances with hints and the decodings after a refused hint."""

    def __init__(self, decoder):
        self.hinted = self.again = 0
        self.real, decoder.decode = decoder.decode, self.decode

    def decode(self, search, *others):
        calls = []

        def recorded(rows, hints):
            calls.append(hints)
            return search(rows, hints)

        found = self.real(recorded, *others)
        self.hinted += sum(map(bool, calls[0]))
        self.again += sum(map(len, calls[1:]))
        return found


def says(text, entry):
    """True if a line has this entry: Latin words as a whole, Han characters anywhere."""
    return f" {entry} " in f" {text} " if entry.isascii() else entry in text


def entries_in(decoder, text):
    """The entries of the list that stand in a transcript."""
    found = decoder.hotwords.find(decoder.verifier.labelize(text).ids)
    return {word for match in found for word in match.words if says(text, word)}


def batches(name, rate):
    """(ids, samples (B, N), lengths, transcripts) of a test set, or of the clips without speech."""
    if name == "clips":
        for kind, speech in noise_clips(rate):
            ids = [f"{kind}-{number}" for number in range(len(speech))]
            yield ids, speech, torch.full((len(speech),), speech.size(1)), [""] * len(speech)
        return
    texts = read_scp(Path("dump", name, "text"))
    for uids, speech, lengths in SpeechSet(Path("dump", name)).batches(20_000, rate):
        yield uids, speech, lengths, [texts[uid] for uid in uids]


def percent(hits, total):
    return f"{hits / total:.1%}" if total else "-"


def measure(speech2text, sets, names, decoder):
    """The cells of a line from `hinted` on; without a decoder there is no list."""
    counter, pairs = decoder and Counter(decoder), []
    for name in sets:
        for _, speech, lengths, texts in batches(name, speech2text.sample_rate):
            pairs += zip(texts, speech2text.batch(speech, lengths, hotwords=decoder))
    due = [(name, hypothesis.text) for text, hypothesis in pairs for name in names if says(text, name)]
    recalls = [
        percent(sum(says(text, name) for name, text in part), len(part))
        for part in ([row for row in due if not row[0].isascii()], [row for row in due if row[0].isascii()], due)
    ]
    counts = [count_errors(TOKEN.findall(text), TOKEN.findall(hypothesis.text)) for text, hypothesis in pairs]
    length = sum(count.reference_length for count in counts)
    rate = f"{100 * sum(count.errors for count in counts) / length:.2f}" if length else "-"
    if decoder is None:
        return "-", "-", *recalls, rate, "-", "-"
    leaks = sum(any(not says(text, word) for word in entries_in(decoder, hyp.text)) for text, hyp in pairs)
    flagged = sum(UNHEARD_HOTWORD in hyp.flags for _, hyp in pairs)
    return counter.hinted, counter.again, *recalls, rate, f"{leaks} of {len(pairs)}", flagged


def lines(models, names, decoys, made):
    """The lines of the table."""
    lists = {"no list": None, "{} + 0": [], "{} + 1,000": decoys, f"{{}} + {len(made) + 1000:,}": [*decoys, *made]}
    for model in models:
        files = f"exp/{model}/config.yaml", f"exp/{model}/latest.pth"
        speech2text = Speech2Text(*files, guard="flag", ctc_train_config=HEAD[0], ctc_model_file=HEAD[1])
        for sets, said in ((["test_names"], names), (SETS, []), (["clips"], [])):
            for title, others in lists.items():
                if others == [] and not said:
                    continue  # an empty list
                decoder = speech2text.hotwords(None if others is None else [*said, *others])
                cells = measure(speech2text, sets, said, decoder)
                yield model, " ".join(sets), title.format(len(said)), *cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="the recipe's folder")
    parser.add_argument("models", nargs="+", help="folders in exp/")
    args = parser.parse_args()
    os.chdir(args.recipe)
    torch.set_num_threads(1)
    names, decoys = read_hotwords("data/test_names/list"), read_hotwords("data/names/decoys")
    print(machine("pyahocorasick", "torch"))
    table(HEADER.split("|"), lines(args.models, names, decoys, made_entries(MANY)))


if __name__ == "__main__":
    main()
