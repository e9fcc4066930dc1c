"""One data directory of several: sorted directories are merged line by line, so memory does not grow with them."""

import heapq
import resource
import shutil
from collections import Counter
from itertools import repeat
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Sequence, Set, Tuple, TypeVar

from espnet_llmasr.data.kaldi import TABLES, audio_table, read_complete
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import DataWriter, write_stats
from espnet_llmasr.files import check_file, count_rows, read_json, read_rows, replacing

EXCLUDED = "overlaps_test"
FILES_PER_PART = len(TABLES) + 3
T = TypeVar("T")


def merged(parts: Sequence[Path]) -> Iterator[Tuple[int, Utterance]]:
    """(number of the part, utterance) of all parts by id.

    Raises ValueError if two parts have the same id, or the speakers are not in Kaldi's order.
    """
    streams = [zip(repeat(number), read_complete(part)) for number, part in enumerate(parts)]
    last_number, last = 0, Utterance("", "", "")
    for number, utterance in heapq.merge(*streams, key=lambda row: row[1].id):
        if utterance.id == last.id:
            raise ValueError(
                f"{last.id} is in {parts[last_number]} and in {parts[number]}: ids must differ,"
                " prepare one of them with another --prefix, or name it once"
            )
        if utterance.speaker < last.speaker:
            raise ValueError(
                f"{utterance.id} of {parts[number]} comes after {last.id}, but its speaker {utterance.speaker} before"
                f" {last.speaker}: an id must begin with its speaker (Kaldi's rule)"
            )
        last_number, last = number, utterance
        yield number, utterance


def subsample(rows: Iterable[T], wanted: int, total: int) -> Iterator[T]:
    """`wanted` of `total` rows, at equal distances, so that all speakers and corpora have their share."""
    for number, row in enumerate(rows):
        if (number + 1) * wanted // total > number * wanted // total:
            yield row


def check_paths(out: Path, parts: Sequence[Path]) -> None:
    """Raises ValueError if a part is given twice or is inside the directory that would be replaced."""
    resolved = [part.resolve() for part in parts]
    for number, part in enumerate(resolved):
        if not part.is_dir():
            raise ValueError(f"{parts[number]} is no directory")
        if part in resolved[:number]:
            raise ValueError(f"{parts[number]} is given twice")
        if out.resolve() in (part, *part.parents):
            raise ValueError(
                f"{out} would replace {parts[number]}, which it is made of: choose another output directory"
            )


def allow_files(parts: int) -> None:
    """Raises the limit of open files if necessary, or ValueError if the system does not allow so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_PER_PART * parts + 64
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise ValueError(f"{parts} directories need {wanted} open files, {hard} are allowed: combine them in two steps")
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def write_merged(staged: Path, parts: Sequence[Path], chosen: Iterable[Tuple[int, Utterance]], excluded: Set[str]):
    """Writes all tables and dropped.txt; returns [utterances, seconds] of each part, and how many were excluded."""
    cut = any(audio_table(part).name == "segments" for part in parts)
    totals, left_out = [[0, 0.0] for _ in parts], 0
    with open(staged / "dropped.txt", "wb") as dropped, DataWriter(staged, cut) as writer:
        for path in (part / "dropped.txt" for part in parts):
            if path.exists():
                check_file(path)
                with open(path, "rb") as lines:
                    shutil.copyfileobj(lines, dropped)
        for number, utterance in chosen:
            if utterance.id in excluded:
                left_out += 1
                dropped.write(f"{utterance.id} {EXCLUDED}\n".encode())
                continue
            totals[number][0] += 1
            totals[number][1] += utterance.duration
            writer.add(utterance)
    if not (staged / "dropped.txt").stat().st_size:
        (staged / "dropped.txt").unlink()
    return totals, left_out


def _numbers(stats: Path, name: str, found: object) -> dict:
    """The numbers under a name of stats.json. Raises ValueError if the file is damaged."""
    if not isinstance(found, dict) or not all(type(number) is int for number in found.values()):
        raise ValueError(f"{stats} has {name}={found}, expected numbers by reason: make the directory again")
    return found


def sum_stats(parts: Sequence[Path], totals: List[list], left_out: int) -> dict:
    dropped = Counter({EXCLUDED: left_out} if left_out else {})
    unspoken = {"lost_symbols": Counter(), "unread_numbers": Counter()}  # of prepare.py
    for part in parts:
        if (part / "stats.json").exists():
            path = part / "stats.json"
            stats = read_json(path)
            for name, counts in {"dropped": dropped, **unspoken}.items():
                counts.update(_numbers(path, name, stats.get(name, {})))
    hours = [round(seconds / 3600, 6) for _, seconds in totals]
    return {
        "utts": sum(utts for utts, _ in totals),
        "hours": round(sum(seconds for _, seconds in totals) / 3600, 6),
        "dropped": dict(sorted(dropped.items())),
        **{name: dict(sorted(counts.items())) for name, counts in unspoken.items() if counts},
        "parts": [{"dir": str(part), "utts": n, "hours": h} for part, (n, _), h in zip(parts, totals, hours)],
    }


def combine(out: Path, parts: Sequence[Path], exclude: Sequence[Path], utts: Optional[int] = None) -> dict:
    """Writes `out` and returns its statistics.

    Args:
        exclude: files of ids to leave out, one a line.
        utts: take at most so many, at equal distances.
    Raises:
        ValueError: see the functions above, or no utterance is left.
    """
    check_paths(out, parts)
    allow_files(len(parts))
    excluded = {key for path in exclude for key, _ in read_rows(path)}
    total = sum(count_rows(part / "text") for part in parts)
    with replacing(out) as staged:
        chosen = subsample(merged(parts), min(utts or total, total), total)
        stats = sum_stats(parts, *write_merged(staged, parts, chosen, excluded))
        if not stats["utts"]:
            left_out = stats["dropped"].get(EXCLUDED, 0)
            raise ValueError(f"no utterance is left: {left_out} excluded, the directories are otherwise empty")
        write_stats(staged, stats)
    return stats
