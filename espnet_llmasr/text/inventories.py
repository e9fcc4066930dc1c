"""The phone inventories, and the spelling of all their units in shared IPA symbols.

`zh_en` has units of Mandarin (lower case, tone 1-5 on the final) and English (ARPAbet, upper case), `zh_en_yue` has
those and units of Cantonese (`y_` before the Jyutping onset, and before the rime with its tone 1-6). `shared_ipa`
spells the same readings with IPA symbols that the three languages share; ipa_zh.tsv, ipa_yue.tsv, ipa_en.tsv say how.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from espnet_llmasr import files
from espnet_llmasr.text.han import TABLES, Phones

HAN_TABLES = {"": "zh", "zh": "zh", "en": "zh", "yue": "yue"}
"""First part of a line's language -> the table that reads its Han characters; a Mandarin dialect reads as Mandarin."""


@dataclass(frozen=True)
class Inventory:
    """`han`: the tables it has units for; `ipa`: whether the units are spelled in IPA."""

    han: Tuple[str, ...]
    ipa: bool = False


INVENTORIES = {
    "zh_en": Inventory(("zh",)),
    "zh_en_yue": Inventory(("zh", "yue")),
    "shared_ipa": Inventory(("zh", "yue"), ipa=True),
}


def read_tokens(name: str) -> List[str]:
    """The tokens of an inventory, `<blank>` and `<unk>` first; the line number is the index."""
    return files.read_tokens(TABLES / f"{name}.txt")


def han_table(lang: str, inventory: str) -> str:
    """The table that reads the Han characters of a line of language `lang`, a value of utt2lang or "".

    Raises:
        ValueError: a language without a table, or one that the inventory has no units for.
    """
    table = HAN_TABLES.get(lang.partition("-")[0])
    if table is None:
        raise ValueError(f"no phones for language '{lang}': utt2lang may say zh, zh-<dialect>, zh-en, en or yue")
    if table not in INVENTORIES[inventory].han:
        able = [name for name, other in INVENTORIES.items() if table in other.han]
        raise ValueError(
            f"phone inventory '{inventory}' has no units for language '{lang}': choose {' or '.join(able)}"
        )
    return table


class IPA:
    """Spells units of `zh_en_yue` in IPA by tables with the columns unit and symbols.

    In a unit with a tone `*` stands for its digit, and in the symbols for the tone's symbol, which is in the row of the
    digit. A row of two units holds for them in this order and goes before those of single units.

    >>> IPA()(["zh", "uang4"])
    ('ʈ͡ʂ', 'w', 'a˥˩', 'ŋ')
    """

    def __init__(self):
        self.rows: Dict[str, str] = {}
        for language in ("zh", "yue", "en"):
            lines = (TABLES / f"ipa_{language}.tsv").read_text(encoding="utf-8").splitlines()
            self.rows.update(line.split("\t") for line in lines if line and not line.startswith("#"))

    def __call__(self, units: Sequence[str]) -> Phones:
        """Symbols of one syllable or of one English word.

        Raises:
            ValueError: a unit without a row.
        """
        pair = self._unit(" ".join(units))
        return tuple(symbol for unit in units for symbol in self._one(unit)) if pair is None else pair

    def _one(self, unit: str) -> Phones:
        symbols = self._unit(unit)
        if symbols is None:
            raise ValueError(
                f"no row for the unit '{unit}' in {TABLES}/ipa_*.tsv: add one, see local/tables/inventories.py"
            )
        return symbols

    def _unit(self, unit: str) -> Optional[Phones]:
        """Symbols of a row; None if there is none."""
        toned = unit[-1].isdigit()
        symbols = self.rows.get(f"{unit[:-1]}*" if toned else unit)
        if symbols is None:
            return None
        return tuple(symbols.replace("*", self.rows["y_" * unit.startswith("y_") + unit[-1]] if toned else "").split())
