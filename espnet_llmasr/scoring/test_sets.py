"""References and hypotheses of test sets, read strictly: every misfit is named and counted, never dropped."""

import os
from collections import Counter
from functools import reduce
from operator import add
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from espnet_llmasr.files import write_all_atomically
from espnet_llmasr.metrics.error_rate import SetCounts, check_ids, score_tokens_of
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import Route, language_of_set, tokens_of

T = TypeVar("T")
UTF16 = (b"\xff\xfe", b"\xfe\xff")
INPUTS = ("text", "phones", "utt2lang", "wav.scp", "utt2dur", "utt2num_frames", "confidence", "flagged")
"""Names of files that are read: no result may have one of them."""


class TestSet(NamedTuple):
    """id -> text of both sides, with the same ids; `missing` are those whose hypothesis was counted as empty.

    `languages`: id -> value of utt2lang beside the references, as far as it has the utterance.
    """

    name: str
    references: Dict[str, str]
    hypotheses: Dict[str, str]
    missing: List[str]
    languages: Dict[str, str] = {}

    @property
    def ids(self) -> List[str]:
        """In byte order, as every list of scores has them."""
        return sorted(self.references)

    @property
    def non_speech(self) -> List[str]:
        """The utterances without speech: their references have no token."""
        return [uid for uid in self.ids if not score_tokens(self.references[uid])]

    def score(self, route: Route) -> SetCounts:
        """Scores after a normaliser route. An utterance without a language has that of most references."""
        of_set = language_of_set(self.references.values())
        return score_tokens_of(
            (uid, *tokens_of(route, self.references[uid], self.hypotheses[uid], self.languages.get(uid) or of_set))
            for uid in self.ids
        )


def set_names(ref_dir: Path, hyp_dir: Path, file: str = "text") -> Tuple[List[str], List[str], List[str]]:
    """Names of the sets that both folders have, that only `ref_dir` has and that only `hyp_dir` has.

    A set is a subfolder with that file, if it is not hidden; where `ref_dir` has the file itself, it is the only set:
    ".".

    Raises:
        ValueError: no common set, the file itself beside common sets, or a folder does not exist.
    """
    for folder in (ref_dir, hyp_dir):
        if not folder.is_dir():
            raise ValueError(f"no folder {folder}")
    have, decoded = ({path.parent.name for path in folder.glob(f"[!.]*/{file}")} for folder in (ref_dir, hyp_dir))
    if (ref_dir / file).is_file():
        if have & decoded:
            raise ValueError(
                f"{ref_dir} has {file} itself and {hyp_dir} the sets {list_names(have & decoded)}: name the sets, "
                f"or . for {file} itself"
            )
        return ["."], [], []
    if not have & decoded:
        raise ValueError(
            f"no set is in both folders: {ref_dir} has {list_names(have)}, {hyp_dir} has {list_names(decoded)}; "
            f"expected <set>/{file} or {file} in both"
        )
    return sorted(have & decoded), sorted(have - decoded), sorted(decoded - have)


def clean_names(names: Iterable[str]) -> List[str]:
    """Sets that were asked for, each once however it is written: "test/" is "test", and "." is the folder itself.

    Raises:
        ValueError: a name leads out of the folders of references and hypotheses.
    """
    clean = list(dict.fromkeys(map(os.path.normpath, names)))
    outside = [name for name in clean if os.path.isabs(name) or name.split(os.sep)[0] == ".."]
    if outside:
        raise ValueError(f"set {first_of(outside)}: a set is a folder below those of references and hypotheses")
    return clean


def with_sum(results: Dict[str, T]) -> Dict[str, T]:
    """Several results are followed by their sum, "all", or "all sets" where a set has this name."""
    total = {"all sets" if "all" in results else "all": reduce(add, results.values())}
    return {**results, **total} if len(results) > 1 else results


def read_set(ref_dir: Path, hyp_dir: Path, name: str, missing_as_empty: bool = False, file: str = "text") -> TestSet:
    """<ref_dir>/<name>/text and <hyp_dir>/<name>/text; with `missing_as_empty` an absent hypothesis is an empty one.

    Raises:
        ValueError: a file is missing or not UTF-8, ids occur twice or on one side only, there are no references. The
            message has all problems of both files.
    """
    problems: List[str] = []
    test_set = check_set(ref_dir, hyp_dir, name, problems, missing_as_empty, file)
    refuse(problems)
    return test_set


def check_set(
    ref_dir: Path, hyp_dir: Path, name: str, problems: List[str], missing_as_empty: bool = False, file: str = "text"
) -> TestSet:
    """As `read_set`, but adds every problem to `problems`, so that those of several sets are reported together."""
    paths = [folder / name / file for folder in (ref_dir, hyp_dir)]
    if all(path.is_file() for path in paths) and paths[0].samefile(paths[1]):
        problems.append(f"{paths[1]} is the file of the references: a set compared with itself has no errors")
        return TestSet(name, {}, {}, [])
    references, hypotheses = (read_table(path, problems) for path in paths)
    if references is not None and not references:
        problems.append(f"{paths[0]} is empty: there are no references to score")
    if not references or hypotheses is None:
        return TestSet(name, {}, {}, [])
    missing = sorted(references.keys() - hypotheses.keys()) if missing_as_empty else []
    hypotheses.update(dict.fromkeys(missing, ""))
    try:
        check_ids(references, hypotheses)
    except ValueError as error:
        problems.append(f"{paths[1]}: {error}")
    utt2lang = ref_dir / name / "utt2lang"
    languages = read_table(utt2lang, problems) if utt2lang.is_file() else None
    return TestSet(name, references, hypotheses, missing, languages or {})


def read_table(path: Path, problems: List[str]) -> Optional[Dict[str, str]]:
    """A Kaldi table; adds to `problems` all that `files.read_scp` would raise: encoding, ids that occur twice.

    None where the file is missing or is no UTF-8 text.
    """
    if not path.is_file():
        problems.append(f"{path} does not exist")
        return None
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    problem = encoding_problem(data)
    if problem:
        problems.append(f"{path} {problem}")
        return None
    rows = [(*line.strip().split(maxsplit=1), "")[:2] for line in data.decode("utf-8").split("\n") if line.strip()]
    twice = [key for key, count in Counter(key for key, _ in rows).items() if count > 1]
    if twice:
        problems.append(f"{path}: ids must be unique, but {list_names(twice)} occur more than once")
    return dict(rows)


def encoding_problem(data: bytes) -> str:
    """Why a file cannot be read as UTF-8, with the number of its bad lines; "" if it can."""
    if data.startswith(UTF16):
        return "is UTF-16, expected UTF-8: convert it with iconv -f UTF-16 -t UTF-8"
    if b"\r" in data.strip() and b"\n" not in data:
        return r"has carriage returns but no line ends: convert it with tr '\r' '\n'"
    for problem, advice, is_bad in (
        ("holds NUL bytes", "it is damaged, or UTF-16", lambda line: b"\0" in line),
        (
            "is not UTF-8 text",
            "convert it, for example with iconv -f GB18030 -t UTF-8",
            lambda line: line.decode("utf-8", "ignore").encode() != line,
        ),
    ):
        bad = [str(number) for number, line in enumerate(data.split(b"\n"), 1) if is_bad(line)]
        if bad:
            lines = "line" if len(bad) == 1 else "lines"
            return f"{problem} in {len(bad)} {lines} (line {first_of(bad)}): {advice}"
    return ""


def first_of(names: Sequence[str], most: int = 5) -> str:
    """ "a, b, c" or "a, b, c, d, e, ..."."""
    first, more = names[:most], ["..."] * (len(names) > most)
    return ", ".join([*first, *more])


def list_names(names: Iterable[str]) -> str:
    """ "3 (a, b, c)"; "none"."""
    names = sorted(names)
    return f"{len(names)} ({first_of(names)})" if names else "none"


def refuse(problems: List[str], advice: str = "") -> None:
    """Raises ValueError with all problems and then the advice in one line, if there are any problems."""
    if len(problems) == 1:
        raise ValueError(problems[0] + advice)
    if problems:
        numbered = "; ".join(f"[{number}] {problem}" for number, problem in enumerate(problems, 1))
        raise ValueError(f"{len(problems)} problems: {numbered}{advice}")


def write_results(files: Iterable[Tuple[Path, str]]) -> None:
    """Writes all (path, content) or, if one cannot be written, none.

    Raises:
        ValueError: a file has the name of an input, or is the file of another result.
    """
    contents: Dict[Path, str] = {}
    for path, content in files:
        if path.name in INPUTS:
            raise ValueError(f"{path} has the name of an input: choose another name than {', '.join(INPUTS)}")
        if contents.setdefault(path.parent.resolve() / path.name, content) != content:
            raise ValueError(f"{path} is the file of another result: choose another name")
    write_all_atomically(contents)
