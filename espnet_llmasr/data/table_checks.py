"""What must hold for one table of a data directory, and for the ids of all; each problem is one line with its place."""

import re
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Tuple

SHOWN = 20
END = b"\xff"  # after every id, since no UTF-8 text holds it
LANGUAGES = "zh, en, zh-en, yue or zh-DIALECT"
_LANGUAGE = re.compile(rb"en|yue|zh(-[a-z][a-z_-]*)?")


class Report:
    """Prints problems and counts them."""

    def __init__(self):
        self.problems = 0
        self._kinds: Counter = Counter()

    def add(self, where: str, kind: str, what: str = "") -> None:
        """`where` is FILE or FILE:LINE; problems of a `kind` are shown SHOWN times, `what` tells them apart."""
        self.problems += 1
        self._kinds[kind] += 1
        if self._kinds[kind] <= SHOWN:
            print(f"{where}: {kind}{what and ': '}{what}")

    def close(self) -> None:
        for kind, count in self._kinds.items():
            if count > SHOWN:
                print(f"... {count - SHOWN} more: {kind}")


def wrong_duration(value: bytes) -> str:
    seconds = _number(value)
    return "" if seconds is not None and 0 < seconds < 1e6 else "no positive number of seconds"


def wrong_language(value: bytes) -> str:
    return "" if _LANGUAGE.fullmatch(value) else f"the language must be {LANGUAGES}"


def wrong_segment(value: bytes) -> str:
    cells = value.split(b" ")
    times = [_number(cell) for cell in cells[1:]]
    if len(times) != 2 or None in times:
        return "expected 'id recording start end'"
    return "" if 0 <= times[0] < times[1] < 1e6 else "expected 0 <= start < end"


def wrong_speaker(value: bytes) -> str:
    return "a speaker holds blanks" if b" " in value else ""


def _number(text: bytes) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None


WRONG: Dict[str, Callable[[bytes], str]] = {
    "utt2dur": wrong_duration,
    "utt2lang": wrong_language,
    "segments": wrong_segment,
    "utt2spk": wrong_speaker,
}


def check_table(path: Path, report: Report) -> None:
    """The form of each line, the order of the ids, and the values as far as they can be told alone."""
    wrong, previous = WRONG.get(path.name, lambda value: ""), b""
    number, line = 0, b"\n"
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            where, (key, _, value) = f"{path}:{number}", line.rstrip(b"\n").partition(b" ")
            form = wrong_form(key, value, number)
            if form:
                report.add(where, form)
            if key <= previous and number > 1:
                kind = "this id stands twice" if key == previous else "the order is not that of LC_ALL=C sort"
                report.add(where, kind, key.decode(errors="replace"))
            previous = key
            fault = not form and wrong(value)
            if fault:
                report.add(where, fault, value.decode(errors="replace"))
    if not number:
        report.add(str(path), "the table is empty")
    if not line.endswith(b"\n"):
        report.add(f"{path}:{number}", "the last line has no end")


def wrong_form(key: bytes, value: bytes, number: int) -> str:
    if number == 1 and key.startswith(b"\xef\xbb\xbf"):
        return "a byte order mark"
    if value.endswith(b"\r") or key.endswith(b"\r"):
        return "the line ends in \\r\\n"
    if not key or b"\t" in key:
        return "expected an id, one blank and a value"
    if not value.strip():
        return "no value after the id"
    try:
        key.decode(), value.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return ""


def check_ids(readers: Dict[Path, Iterator[Tuple[bytes, int]]], report: Report) -> None:
    """Every id that one reader has all must have; readers are those of `ids`, by the file they read."""
    paths = list(readers)
    heads = [next(readers[path]) for path in paths]
    while any(key != END for key, _ in heads):
        lowest = min(key for key, _ in heads)
        there = [key == lowest for key, _ in heads]
        if not all(there):
            has = there.index(True)
            for path in (path for path, found in zip(paths, there) if not found):
                report.add(f"{paths[has]}:{heads[has][1]}", f"this id is not in {path.name}", lowest.decode())
        heads = [next(readers[path]) if found else head for path, head, found in zip(paths, heads, there)]


def check_sparse(directory: Path, report: Report) -> None:
    """What text_spoken has must stand in text."""
    spoken, text, key = ids(directory / "text_spoken"), ids(directory / "text"), b""
    name, number = next(spoken)
    while name != END:
        while key < name:
            key, _ = next(text)
        if key != name:
            report.add(f"{directory / 'text_spoken'}:{number}", "this id is not in text", name.decode())
        name, number = next(spoken)


def ids(path: Path) -> Iterator[Tuple[bytes, int]]:
    """(id, line number), at last (END, 0) for ever."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            yield line.partition(b" ")[0].rstrip(b"\n"), number
    while True:
        yield END, 0
