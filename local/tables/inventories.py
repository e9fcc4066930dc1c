"""Freezes the token lists zh_en.txt, zh_en_yue.txt and shared_ipa.txt under espnet_llmasr/text/tables.

    python local/tables/inventories.py

They follow from the reading tables and ipa_*.tsv there: run this after a change of those. A model is tied to the list
it was trained with.
"""

from table_files import TABLES, out_option

from espnet_llmasr.files import write_tokens
from espnet_llmasr.text.han import SANDHI, read_gz
from espnet_llmasr.text.inventories import IPA

SPECIAL = ["<blank>", "<unk>"]
INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s".split()
ONSETS = [f"y_{onset}" for onset in "b p m f d t n l g k ng gw kw w h z c s j".split()]
ARPABET = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
).split()
TONES = "˥˧˨˩˦"


def syllables(language):
    """Units of every syllable of a language, without the open tones that sandhi fills in."""
    rows = [row[1].split() for row in read_gz(f"{language}_characters.tsv.gz")]
    return [units for units in rows if SANDHI.keys().isdisjoint(units)]


def toned(language, bare):
    """The units that are not in `bare`, sorted."""
    return sorted({unit for units in syllables(language) for unit in units} - set(bare))


def ipa_symbols():
    """Consonants and vowels sorted by symbol, each vowel without tone first."""
    spell = IPA()
    spelled = map(spell, [*syllables("zh"), *syllables("yue"), *([phone] for phone in ARPABET)])
    return sorted({symbol for symbols in spelled for symbol in symbols}, key=lambda s: (s.rstrip(TONES), s))


def inventories():
    """Name -> tokens in the order of their indices."""
    zh_en = [*SPECIAL, *INITIALS, *toned("zh", INITIALS), *ARPABET]
    zh_en_yue = [*zh_en, *ONSETS, *toned("yue", ONSETS)]
    return {"zh_en": zh_en, "zh_en_yue": zh_en_yue, "shared_ipa": [*SPECIAL, *ipa_symbols()]}


def main():
    out = out_option(f"Build the token lists from the tables in {TABLES}.")
    for name, tokens in inventories().items():
        write_tokens(out / f"{name}.txt", tokens)
        print(f"{name}: {len(tokens)} tokens")


if __name__ == "__main__":
    main()
