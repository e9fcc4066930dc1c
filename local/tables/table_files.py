"""What the builders of the frozen tables share: reading by match, the files of a language's readings, the option --out.

`<language>_characters.tsv.gz` has one line per syllable: syllable, its units, the characters read so by default.
`<language>_phrases.tsv.gz` has one line per phrase: phrase and its syllables, without the latter where they equal those
of its characters (such a phrase still decides where the next one may start).
"""

import argparse
import gzip
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional

TABLES = Path(__file__).resolve().parents[2] / "espnet_llmasr" / "text" / "tables"


def out_option(description: str) -> Path:
    """The folder named by --out; by default the package's own tables."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=TABLES, help="folder to write the tables to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    return out


def read(text: str, readings: Dict[str, str]) -> Optional[str]:
    """Syllables by forward maximum match, as espnet_llmasr.text.han does it; None if a character has no reading."""
    syllables = []
    while text:
        piece = next((text[:length] for length in range(len(text), 0, -1) if text[:length] in readings), None)
        if piece is None:
            return None
        syllables.append(readings[piece])
        text = text[len(piece) :]
    return " ".join(syllables)


def write_gz(path: Path, lines: Iterable[str]) -> None:
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as out:
        out.write(("\n".join(lines) + "\n").encode("utf-8"))


def without_plain(phrases: Dict[str, str], characters: Dict[str, str]) -> Dict[str, str]:
    """The phrases, with an empty reading where it equals that of the characters."""
    plain = {p for p, syllables in phrases.items() if syllables == " ".join(characters.get(c, "?") for c in p)}
    return {p: "" if p in plain else syllables for p, syllables in phrases.items()}


def character_lines(characters: Dict[str, str], phrases: Dict[str, str], units_of: Callable) -> List[str]:
    groups = {s: [] for s in characters.values()}
    groups.update({s: [] for line in phrases.values() for s in line.split() if s not in groups})
    for character, syllable in characters.items():
        groups[syllable].append(character)
    return [f"{s}\t{' '.join(units_of(s))}\t{''.join(sorted(groups[s]))}" for s in sorted(groups)]


def write_tables(out: Path, language: str, readings: Dict[str, str], units_of: Callable):
    """Writes both files; `units_of` gives the units of a syllable."""
    characters = {text: syllable for text, syllable in readings.items() if len(text) == 1}
    phrases = without_plain({text: line for text, line in readings.items() if len(text) > 1}, characters)
    write_gz(out / f"{language}_characters.tsv.gz", character_lines(characters, phrases, units_of))
    write_gz(out / f"{language}_phrases.tsv.gz", [f"{p}\t{s}" if s else p for p, s in sorted(phrases.items())])
    print(f"{language}: {len(characters)} characters, {len(phrases)} phrases")
