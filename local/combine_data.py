#!/usr/bin/env python3
"""Makes one data directory of several: the shards of a corpus, or many corpora.

    python local/combine_data.py data/train data/aishell1_train data/librispeech_train-clean-100
    python local/combine_data.py data/train data/all --exclude data/overlaps/exclude.txt
    python local/combine_data.py data/cka data/valid --utts 500

Each directory is sorted, so they are merged line by line; memory does not grow with them. OUT has segments if one of
them has; recordings that are not cut become one segment then. The audio stays where the entries of wav.scp say: keep
the directories if they hold audio. OUT is written beside its place and put there when it is complete.
"""

import heapq
import json
import resource
import sys
from collections import Counter
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Sequence, Set, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))


from espnet_llmasr.data.data_dirs import TABLES, audio_table, open_table, rows, sparse  # noqa: E402

from espnet_llmasr.cli import Parser, at_least, run  # noqa: E402
from espnet_llmasr.files import count_rows, replacing, sorted_file, write_atomically  # noqa: E402

EXCLUDED = "overlaps_test"
FILES_PER_PART = len(TABLES) + 3


def get_parser() -> Parser:
    parser = Parser(description="Make one data directory of several, sorted; ids that occur twice are refused.")
    parser.add_argument("out", type=Path, metavar="OUT", help="data directory to write")
    parser.add_argument("parts", type=Path, nargs="+", metavar="IN", help="data directories")
    parser.add_argument(
        "--exclude", type=Path, action="append", default=[], help="file of ids to leave out, one a line"
    )
    parser.add_argument("--utts", type=at_least(1), help="take at most so many, evenly from all speakers")
    return parser


def utterances(number: int, directory: Path, cut: bool) -> Iterator[Tuple[bytes, ...]]:
    """(id, number, text, speaker, language, seconds, spoken text or b"", line of segments or wav.scp)"""
    table, spoken = audio_table(directory), sparse(directory / "text_spoken")
    whole = cut and table == "wav.scp"
    for key, text, speaker, language, seconds, where in rows(directory, *TABLES, table):
        if whole:
            where = b"%s 0.000 %s" % (key, seconds)
        yield key, number, text, speaker, language, seconds, spoken(key), where


def merged(parts: Sequence[Path], cut: bool) -> Iterator[Tuple[bytes, ...]]:
    """The utterances of all parts by id.

    Raises:
        ValueError: two parts have the same id, or the speakers are not in Kaldi's order.
    """
    previous, last_number, last_speaker = b"", 0, b""
    for row in heapq.merge(*(utterances(i, part, cut) for i, part in enumerate(parts)), key=itemgetter(0)):
        if row[0] == previous:
            raise ValueError(
                f"{previous.decode()} is in {parts[last_number]} and in {parts[row[1]]}: ids must differ,"
                " prepare one of them with another --prefix, or name it once"
            )
        if row[3] < last_speaker:
            raise ValueError(
                f"{row[0].decode()} of {parts[row[1]]} comes after {previous.decode()}, but its speaker"
                f" {row[3].decode()} before {last_speaker.decode()}: an id must begin with its speaker (Kaldi's rule)"
            )
        previous, last_number, last_speaker = row[0], row[1], row[3]
        yield row


def evenly(rows: Iterable[tuple], wanted: int, total: int) -> Iterator[tuple]:
    """`wanted` of `total` rows, at equal distances, so that all speakers and corpora have their share."""
    for number, row in enumerate(rows):
        if (number + 1) * wanted // total > number * wanted // total:
            yield row


def write_utterances(staged: Path, parts: Sequence[Path], chosen, excluded: Set[bytes], cut: bool, used):
    """Writes all tables, but of cut recordings only their ids to `used`; [utts, seconds] of each part, and excluded."""
    totals, left_out, last_speaker = [[0, 0.0] for _ in parts], 0, b""
    names = (*TABLES, "text_spoken", "segments" if cut else "wav.scp", "spk2utt", "dropped.txt")
    with ExitStack() as stack:
        write = [stack.enter_context(open(staged / name, "wb")).write for name in names]
        text, spk, langs, durations, spoken, wav, spk2utt, dropped = write
        copy_dropped(parts, dropped)
        for key, number, line, speaker, language, seconds, spoken_line, where in chosen:
            if key in excluded:
                left_out += 1
                dropped(b"%s %s\n" % (key, EXCLUDED.encode()))
                continue
            totals[number][0] += 1
            totals[number][1] += float(seconds)
            text(b"%s %s\n" % (key, line))
            spk(b"%s %s\n" % (key, speaker))
            langs(b"%s %s\n" % (key, language))
            durations(b"%s %s\n" % (key, seconds))
            wav(b"%s %s\n" % (key, where))
            if spoken_line:
                spoken(b"%s %s\n" % (key, spoken_line))
            if cut:
                used(where.partition(b" ")[0].decode() + "\n")
            if speaker != last_speaker:
                spk2utt((b"\n" if last_speaker else b"") + speaker)
                last_speaker = speaker
            spk2utt(b" " + key)
        spk2utt(b"\n" if last_speaker else b"")
    return totals, left_out


def copy_dropped(parts: Sequence[Path], write) -> None:
    for part in parts:
        if (part / "dropped.txt").exists():
            with open(part / "dropped.txt", "rb") as lines:
                for line in lines:
                    write(line)


def write_recordings(staged: Path, parts: Sequence[Path], used: Path) -> None:
    """wav.scp with the recordings that are used; shards of a corpus may share some.

    Raises:
        ValueError: a recording has two entries, or none.
    """
    entries = heapq.merge(*(rows(part, "wav.scp") for part in parts), key=itemgetter(0))
    key, entry = b"", b""
    with open(used, "rb") as wanted, open(staged / "wav.scp", "wb") as out:
        for name in map(bytes.strip, wanted):
            while key < name:
                key, entry = next(entries, (b"\xff", b""))
            if key != name:
                raise ValueError(
                    f"segments name the recording {name.decode()}, which no wav.scp has: see check_data.py"
                )
            out.write(b"%s %s\n" % (name, entry))
            for key, other in entries:
                if key != name:
                    entry = other
                    break
                if other != entry:
                    raise ValueError(
                        f"two recordings are called {name.decode()}: {entry.decode()} and {other.decode()}"
                    )
            else:
                key = b"\xff"


def read_ids(paths: Sequence[Path]) -> Set[bytes]:
    """The first word of each line."""
    ids = set()
    for path in paths:
        with open_table(path) as lines:
            ids.update(line.split()[0] for line in lines if line.strip())
    return ids


def check_paths(out: Path, parts: Sequence[Path]) -> None:
    """Raises:
    ValueError: a part is given twice or lies in the directory that would be replaced.
    """
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
    """Raises the limit of open files if it must be.

    Raises:
        ValueError: the system does not allow so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_PER_PART * parts + 64
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise ValueError(f"{parts} directories need {wanted} open files, {hard} are allowed: combine them in two steps")
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def sum_stats(parts: Sequence[Path], totals: List[list], left_out: int) -> dict:
    dropped = Counter({EXCLUDED: left_out} if left_out else {})
    for part in parts:
        if (part / "stats.json").exists():
            dropped.update(json.loads((part / "stats.json").read_text(encoding="utf-8")).get("dropped", {}))
    hours = [round(seconds / 3600, 6) for _, seconds in totals]
    return {
        "utts": sum(utts for utts, _ in totals),
        "hours": round(sum(seconds for _, seconds in totals) / 3600, 6),
        "dropped": dict(sorted(dropped.items())),
        "parts": [{"dir": str(part), "utts": n, "hours": h} for part, (n, _), h in zip(parts, totals, hours)],
    }


def combine(out: Path, parts: Sequence[Path], exclude: Sequence[Path], utts: Optional[int] = None) -> dict:
    """Writes OUT, of at most `utts` utterances, and returns its statistics.

    Raises:
        ValueError: see the functions above.
    """
    check_paths(out, parts)
    allow_files(len(parts))
    excluded, cut = read_ids(exclude), any(audio_table(part) == "segments" for part in parts)
    total = sum(count_rows(part / "text") for part in parts)
    with replacing(out) as staged:
        with sorted_file(staged / ".used", unique=True) as used:
            chosen = evenly(merged(parts, cut), min(utts or total, total), total)
            totals, left_out = write_utterances(staged, parts, chosen, excluded, cut, used)
        if cut:
            write_recordings(staged, parts, staged / ".used")
        (staged / ".used").unlink()
        for optional in ("text_spoken", "dropped.txt"):
            if not (staged / optional).stat().st_size:
                (staged / optional).unlink()
        stats = sum_stats(parts, totals, left_out)
        if not stats["utts"]:
            raise ValueError(f"no utterance is left: {left_out} excluded, the directories are otherwise empty")
        write_atomically(staged / "stats.json", json.dumps(stats, indent=1) + "\n")
    return stats


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    stats = combine(args.out, args.parts, args.exclude, args.utts)
    print(f"{args.out}: {stats['utts']} utterances, {stats['hours']:.2f} h; dropped: {stats['dropped'] or 'none'}")


if __name__ == "__main__":
    run(main)
