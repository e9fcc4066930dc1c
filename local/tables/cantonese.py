"""Freezes the Cantonese reading tables under espnet_llmasr/text/tables.

    pip install ToJyutping==3.2.0 OpenCC==1.4.2
    python local/tables/cantonese.py

Readings are the first ones of ToJyutping (BSD-2-Clause), whose dictionary comes from rime-cantonese (CC BY 4.0,
"Cantonese Computational Linguistics Infrastructure Development Workgroup": name it where the tables are passed on).
They serve traditional script; simplified characters and words get the reading of their traditional form with OpenCC's
dictionaries (Apache-2.0), since ToJyutping reads 样 会 价 听 几 as the rare characters that they also are.

A syllable becomes one or two units: onset, and rime with its tone; `y_` sets them apart from the Mandarin ones:
"hoeng1" -> y_h y_oeng1, "ng5" -> y_ng5.
"""

import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import opencc
from table_files import out_option, read, write_tables
from ToJyutping.Trie import root

VERSIONS = {"ToJyutping": "3.2.0", "OpenCC": "1.4.2"}
ONSETS = "b p m f d t n l g k ng gw kw w h z c s j".split()
_SYLLABLE = re.compile(r"(ng(?=[aeiou])|[gk]w|[bpmfdtnlgkwhzcsj](?!g?[1-6]))?([a-z]+[1-6])")
# Characters of Cantonese's own, or far more frequent as themselves than as the simplified form of another one.
OWN_READING = frozenset("干里郁吓仆佣涌吁霉")
OVERRIDES = {"行長": "hong4 zoeng2", "區長": "keoi1 zoeng2", "借借": "ze3 ze3"}


def units_of(syllables):
    """ "ng5" -> ["y_ng5"]; a character of two syllables has them joined by "_": "cin1_ngaa5"."""
    parts = [_SYLLABLE.fullmatch(syllable).groups() for syllable in syllables.split("_")]
    return [f"y_{part}" for onset, rime in parts for part in (onset, rime) if part]


def read_tojyutping():
    """Characters and phrases with their first reading, or that of OVERRIDES."""
    readings, nodes = {}, [("", root)]
    while nodes:
        text, node = nodes.pop()
        nodes += [(text + character, child) for character, child in node.items()]
        if node.v:
            readings[text] = str(node.v[0]).replace(" ", "_" if len(text) == 1 else " ")
    return {**readings, **OVERRIDES}


def opencc_keys(name):
    """The simplified words of one of OpenCC's dictionaries, in its order."""
    package = Path(opencc.__file__).parent / "clib"
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "dictionary.txt"
        source = package / "share" / "opencc" / f"{name}.ocd2"
        tool = [package / "bin" / "opencc_dict", "-i", source, "-o", text, "-f", "ocd2", "-t", "text"]
        subprocess.run(tool, check=True, stdout=subprocess.DEVNULL)
        return [line.split("\t")[0] for line in text.read_text(encoding="utf-8").splitlines()]


def add_simplified(readings):
    """Simplified characters and words -> the reading of their traditional form, where it is not the same already."""
    traditional, simplified = opencc.OpenCC("s2hk").convert, opencc.OpenCC("t2s").convert
    as_given = dict(readings)
    for character in opencc_keys("STCharacters"):
        reading = as_given.get(traditional(character))
        if reading and character not in OWN_READING:
            readings[character] = reading
    for phrase in [p for p in as_given if len(p) > 1]:
        readings.setdefault(simplified(phrase), readings[phrase])
    words = {*opencc_keys("STPhrases"), *opencc_keys("STPhrases_GeneratedFromRegionalPhrases")} - OVERRIDES.keys()
    for word in sorted(words, key=lambda word: (len(word), word)):
        reading = read(traditional(word), as_given)
        if reading and reading != read(word, readings):
            readings[word] = reading


def main():
    installed = {package: version(package) for package in VERSIONS}
    if installed != VERSIONS:
        sys.exit(f"cantonese.py: found {installed}, needed are {VERSIONS}: see this file")
    readings = read_tojyutping()
    add_simplified(readings)
    write_tables(out_option("Build the Cantonese tables."), "yue", readings, units_of)


if __name__ == "__main__":
    main()
