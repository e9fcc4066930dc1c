"""Stage 2: from a Kaldi data directory to a dump directory with labels; what cannot be used is dropped and counted."""

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Optional, Union

from espnet_llmasr.data.checks import Check, Limits, check_all
from espnet_llmasr.data.kaldi import audio_table, read_training_text, read_utterances
from espnet_llmasr.data.writer import DumpWriter
from espnet_llmasr.files import (
    count_rows,
    progress,
    read_text,
    read_tokens,
    replacing,
    write_atomically,
    write_tokens,
)
from espnet_llmasr.text.inventories import INVENTORIES
from espnet_llmasr.text.inventories import read_tokens as read_inventory
from espnet_llmasr.text.phonemes import Characters, Phonemizer, make_labelizer
from espnet_llmasr.text.pronunciations import beside


@dataclass(frozen=True)
class Labels:
    """The kind of labels and their list, which all sets share."""

    tokens: Path
    """The token list; written from the first set that is labelled."""
    unit: str
    """phone or char"""
    inventory: str
    """The phones of `unit` phone: a name, or the file of a table, which is kept beside `tokens`."""
    training_text: Optional[Path] = None
    """The table that the characters of `unit` char come from; None: from `tokens`, or else from the first set."""

    def labelizer(self, text: Path, scratch: Path):
        """The function from text to labels; `text` is the table of the set, `scratch` a folder for sorted copies.

        Raises ValueError if the token list exists and holds other tokens, or if those were made by another table.
        """
        exists, is_char = self.tokens.exists(), self.unit == "char"
        if is_char and exists and not self.training_text:
            return Characters(read_tokens(self.tokens))
        lines = read_training_text(self.training_text or text, scratch) if is_char else ()
        labelize = make_labelizer(self.unit, lines, self.inventory)
        if exists and read_tokens(self.tokens) != labelize.tokens:
            raise ValueError(
                f"{self.tokens} holds {len(read_tokens(self.tokens))} tokens, other than the {len(labelize.tokens)} of"
                f" --unit {self.unit} --inventory {self.inventory}:"
                " remove it (and what was trained on it) or name another file with --tokens"
            )
        kept = beside(self.tokens)
        if exists and self._table() != (read_text(kept) if kept.exists() else None):
            raise ValueError(
                f"--inventory {self.inventory} differs from {kept}, by which the other sets were labelled:"
                f" remove {self.tokens} (and what was trained on it) or give the table of before"
            )
        return labelize

    @property
    def table_language(self) -> str:
        """The language of a table of pronunciations, which is the name of its file; empty without one."""
        return Path(self.inventory).stem if self.unit == "phone" and self.inventory not in INVENTORIES else ""

    def _table(self) -> Optional[str]:
        return read_text(self.inventory) if self.table_language else None

    def write(self, labelize: Union[Phonemizer, Characters]) -> None:
        """Writes the token list, and beside it a copy of the table, which the guard reads and a pack takes along."""
        beside(self.tokens).unlink(missing_ok=True)
        if self.table_language:
            unused = labelize.table.several_words
            if unused:
                logging.warning(
                    "%s: %d rows of several words are not used ('%s')", self.inventory, len(unused), unused[0]
                )
            new = [symbol for symbol in labelize.table.symbols if symbol not in read_inventory("shared_ipa")]
            logging.info("%s: %d symbols, not in shared_ipa are %s", self.inventory, len(labelize.table.symbols), new)
            write_atomically(beside(self.tokens), self._table())
        write_tokens(self.tokens, labelize.tokens)


def format_data(data: Path, out: Path, labels: Labels, limits: Limits, audio_check: str, nj: int = 1) -> dict:
    """Checks, filters and labels the utterances of `data` into the dump directory `out`; returns the statistics.

    Raises ValueError: see `read_utterances`, `Labels.labelizer`, `DumpWriter` and `replacing`; or no utterance is left.
    """
    if not 0 <= limits.min_duration_s < limits.max_duration_s:
        raise ValueError(f"--min_duration {limits.min_duration_s} must be below --max_duration {limits.max_duration_s}")
    if audio_check == "utt2dur" and not (data / "utt2dur").exists():
        raise ValueError(f"--audio_check utt2dur: there is no {data / 'utt2dur'}: give --audio_check header")
    with replacing(out) as staged, TemporaryDirectory(dir=staged) as scratch:
        utterances = read_utterances(data, Path(scratch))
        labelize = labels.labelizer(data / "text", Path(scratch))
        results = check_all(
            Check(labelize, limits.rate, audio_check, limits.test, labels.table_language), utterances, nj
        )
        with DumpWriter(staged, limits.rate, limits.num_frames) as dump:
            for utterance, result in progress(results, f"utterances checked of {count_rows(audio_table(data))}"):
                dump.add(utterance, limits(result))
        stats = dump.finish()
        dump.report(data)
        if not stats["utts"]:
            dropped = sum(stats["dropped"].values())
            raise ValueError(f"no utterance of {data} is left: all {dropped} dropped, see the line above")
        if not labels.tokens.exists():
            labels.write(labelize)
    return stats
