"""The four data directories of a recipe from a folder of audio and a CSV file, the form of most people's own data.

The columns, in any order: `audio` (a path below the folder), `text`; not needed are `speaker`, `lang`, and `set` (train,
valid or test). Without `set` a speaker is in one set only; without speakers each file is dealt out by itself.
"""

import csv
import io
import logging
import zlib
from pathlib import Path
from typing import Dict, List

from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.prepare import Canonical, usable, write_unsorted
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import write_stats
from espnet_llmasr.files import read_text, replacing

SETS = ("train", "valid", "test")
NEEDED, OPTIONAL = ("audio", "text"), ("speaker", "lang", "set")
PARTS = 10  # of which the last two are valid and test
CKA_UTTERANCES = 500


def prepare_table(folder: Path, table: Path, out: Path, prefix: str = "own", lang: str = "") -> Dict[str, dict]:
    """Writes out/{train,valid,cka,test}; `cka` is the beginning of `valid`. Returns the statistics of each.

    Raises:
        ValueError: a column is missing or unknown, a set of another name, or a set without any utterance.
    """
    rows = read_table(table)
    sets: Dict[str, List[Utterance]] = {name: [] for name in SETS}
    for row in rows:
        name = row.get("set") or set_of(row.get("speaker") or row["audio"])
        stem = Path(row["audio"]).with_suffix("").as_posix().replace("/", "_")
        more = dict(speaker=row.get("speaker") or "", lang=row.get("lang") or lang)
        sets[name].append(Utterance(stem, str(folder.absolute() / row["audio"]), row["text"], **more))
    for name, utterances in sets.items():
        if not utterances:
            raise ValueError(f"{table} leaves no utterance for {name}: add a column 'set' with {', '.join(SETS)}")
    sets["cka"] = sorted(sets["valid"], key=lambda utterance: utterance.id)[:CKA_UTTERANCES]
    return {name: write_set(folder, utterances, out / name, prefix) for name, utterances in sets.items()}


def read_table(table: Path) -> List[Dict[str, str]]:
    """The rows of a CSV file; a text in quotes may have several lines.

    Raises ValueError for columns or sets of other names, a row that is too short, and a quote that is not closed.
    """
    reader = csv.DictReader(io.StringIO(read_text(table, "utf-8-sig"), newline=""), strict=True)
    try:
        columns, rows = reader.fieldnames or [], list(reader)
    except csv.Error as error:
        where = f"{table}, line {reader.reader.line_num}"
        raise ValueError(
            f'{where} or one before it has a wrong quote ({error}): write " within a text twice'
        ) from error
    missing = [name for name in NEEDED if name not in columns]
    unknown = [name for name in columns if name not in NEEDED + OPTIONAL]
    if missing or unknown:
        found = f"no column '{missing[0]}'" if missing else f"the column '{unknown[0]}'"
        allowed = f"needed are {', '.join(NEEDED)}, allowed also {', '.join(OPTIONAL)}"
        raise ValueError(f"{table} has {found} in its first line: {allowed}")
    for row in rows:
        if None in row or None in row.values() or not row["audio"]:
            raise ValueError(
                f"{table} has a row with another number of columns ({row['audio']}): quote commas in texts"
            )
        if row.get("set") and row["set"] not in SETS:
            raise ValueError(f"{table}: {row['audio']} is of the set '{row['set']}', allowed are {', '.join(SETS)}")
    return rows


def set_of(name: str) -> str:
    """The set of a speaker or a file, always the same: about 80, 10 and 10 % are train, valid and test."""
    part = zlib.crc32(name.encode("utf-8")) % PARTS
    return {PARTS - 2: "valid", PARTS - 1: "test"}.get(part, "train")


def write_set(folder: Path, utterances: List[Utterance], out: Path, prefix: str) -> dict:
    """Writes one data directory and returns its statistics. Raises ValueError if nothing is left."""
    final = out.absolute()
    with replacing(final) as staged, open(staged / "dropped.txt", "w", encoding="utf-8") as log:
        source = Source(folder.absolute(), out.name, staged / "audio", final / "audio", log=log)
        stats = write_unsorted(staged, usable(source, Canonical(prefix, "plain"), "", iter(utterances)))
        stats["dropped"] = dict(sorted(source.dropped.items()))
        write_stats(staged, stats)
        dropped = ", ".join(f"{reason} {count}" for reason, count in stats["dropped"].items()) or "none"
        logging.info("%s: %d utterances, %.2f h; dropped: %s", out, stats["utts"], stats["hours"], dropped)
        if not stats["utts"]:
            raise ValueError(f"no utterance of {out.name} is left (dropped: {dropped}): is {folder} the right folder?")
    return stats
