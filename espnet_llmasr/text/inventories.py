"""The phone inventories, and the spelling of all their phones in shared IPA symbols.

`zh_en` has phones of Mandarin (lower case, tone 1-5 on the final) and English (ARPAbet, upper case). `zh_en_yue` also
has phones of Cantonese (`y_` before the Jyutping onset, and before the rime with its tone 1-6). `shared_ipa` spells the
same readings with IPA symbols that the three languages share, by the tables ipa_zh.tsv, ipa_yue.tsv and ipa_en.tsv.
The file of a user's table (text.pronunciations) is an inventory, too: `shared_ipa` and one more language.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from espnet_llmasr import files
from espnet_llmasr.text.han import TABLES, Phones

HAN_TABLES = {"": "zh", "zh": "zh", "en": "zh", "yue": "yue"}
"""First part of a language -> the table for its Han characters; Mandarin dialects use the one of Mandarin."""


@dataclass(frozen=True)
class Inventory:
    """`han`: the tables that it has phones for; `ipa`: whether the phones are spelled in IPA."""

    han: Tuple[str, ...]
    ipa: bool = False


INVENTORIES = {
    "zh_en": Inventory(("zh",)),
    "zh_en_yue": Inventory(("zh", "yue")),
    "shared_ipa": Inventory(("zh", "yue"), ipa=True),
}


def inventory(value: str) -> str:
    """An argument type: the name of an inventory, or the file of a table of pronunciations."""
    if value not in INVENTORIES and not Path(value).is_file():
        known = ", ".join(INVENTORIES)
        raise argparse.ArgumentTypeError(f"no phone inventory '{value}': choose {known}, or a file (docs/phonemes.md)")
    language = Path(value).stem
    if value not in INVENTORIES and (language.partition("-")[0] in HAN_TABLES or len(language.split()) != 1):
        reason = f"the name of {value} must be a language other than zh, yue and en"
        raise argparse.ArgumentTypeError(f"{reason}, as utt2lang has it (es.tsv): rename it")
    return value


def read_tokens(name: str) -> List[str]:
    """The tokens of a named inventory, `<blank>` and `<unk>` first; the line number is the index."""
    return files.read_tokens(TABLES / f"{name}.txt")


def han_table(lang: str, inventory: str) -> str:
    """The table for the Han characters of a line in language `lang`, a value of utt2lang or "".

    Raises:
        ValueError: a language without a table, or one that the inventory has no phones for.
    """
    table = HAN_TABLES.get(lang.partition("-")[0])
    if table is None or lang == "zh-yue":  # not a dialect of zh: its readings would be those of Mandarin
        raise ValueError(
            f"no phones for language '{lang}': utt2lang may have zh, zh-<dialect>, zh-en, en or yue;"
            " for another language give --inventory a table, or --unit char"
        )
    if table not in INVENTORIES[inventory].han:
        able = [name for name, other in INVENTORIES.items() if table in other.han]
        raise ValueError(
            f"phone inventory '{inventory}' has no phones for language '{lang}': choose {' or '.join(able)}"
        )
    return table


class IPA:
    """Spells phones of `zh_en_yue` in IPA by tables with the columns phone and symbols.

    In the row of a tonal phone `*` replaces the digit of the tone and the symbol of the tone, which has a row of its
    own. A row of two phones applies to these in this order and takes precedence over the rows of single phones.

    >>> IPA()(["zh", "uang4"])
    ('ʈ͡ʂ', 'w', 'a˥˩', 'ŋ')
    """

    def __init__(self):
        self.rows: Dict[str, str] = {}
        for language in ("zh", "yue", "en"):
            lines = (TABLES / f"ipa_{language}.tsv").read_text(encoding="utf-8").splitlines()
            self.rows.update(line.split("\t") for line in lines if line and not line.startswith("#"))

    def __call__(self, phones: Sequence[str]) -> Phones:
        """Symbols of one syllable or of one English word.

        Raises:
            ValueError: a phone without a row.
        """
        pair = self._look_up(" ".join(phones))
        return tuple(symbol for phone in phones for symbol in self._symbols(phone)) if pair is None else pair

    def _symbols(self, phone: str) -> Phones:
        symbols = self._look_up(phone)
        if symbols is None:
            raise ValueError(
                f"no row for the phone '{phone}' in {TABLES}/ipa_*.tsv: add one, see local/tables/inventories.py"
            )
        return symbols

    def _look_up(self, key: str) -> Optional[Phones]:
        """Symbols in the row of a phone, or of two phones; None if there is no such row."""
        tonal = key[-1].isdigit()
        symbols = self.rows.get(f"{key[:-1]}*" if tonal else key)
        if symbols is None:
            return None
        tone = self.rows["y_" * key.startswith("y_") + key[-1]] if tonal else ""
        return tuple(symbols.replace("*", tone).split())
