import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from espnet_llmasr.bin import score
from espnet_llmasr.scoring.score import EXAMPLES, route_tables
from espnet_llmasr.text import routes, wetext
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import ROUTES, language, language_of_set, make_route, route_module, tokens_of

tn = pytest.importorskip("tn", reason="pip install WeTextProcessing")
pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")
SITE = Path(tn.__file__).parents[1]
READ = """
from espnet_llmasr.text import wetext
from espnet_llmasr.text.routes import make_route
print(make_route("paper").normalize("3个啊", "zh"), make_route("paper").normalize("3 men", "en"),
      make_route("sure").normalize("三十个啊", "zh"))
"""


def run(code, path="", cache="", **options):
    search = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH"), str(Path(__file__).parents[3])]))
    env = {**os.environ, "PYTHONPATH": search, "ESPNET_LLMASR_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=env, text=True, capture_output=True, **options)


def contents(*folders):
    """path -> size, time of change and hash of everything in the folders."""
    found = {}
    for path in (path for folder in folders for path in [folder, *folder.rglob("*")]):
        status = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path] = (status.st_size, status.st_mtime_ns, status.st_mode, digest)
    return found


def test_nothing_is_written_into_the_package_nor_into_the_cache(tmp_path):
    """Nor when our own Mandarin grammar, with other options, is built in the same process."""
    packages = SITE / "tn", SITE / "itn"
    before = contents(*packages)
    assert len(before) > 200
    done = run(READ, cache=tmp_path)
    assert (done.stdout, done.stderr) == ("三个 three men 30个\n", "")
    assert list(tmp_path.iterdir()) == []
    done = run(
        f"{READ}\nprint(wetext.mandarin('3个啊儿嘅'), make_route('paper').normalize('3个啊儿嘅', 'zh'))", cache=tmp_path
    )
    assert (done.stdout, done.stderr) == ("三个 three men 30个\n三个啊儿嘅 三个慨\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [wetext.cache_dir().name]
    assert contents(*packages) == before


@pytest.mark.parametrize("missing", ["tn/zh_tn_verbalizer.fst", "tn/en_tn_tagger.fst", "itn/zh_itn_tagger.fst"])
def test_a_missing_fst_is_not_built_into_the_package(tmp_path, missing):
    packages = [shutil.copytree(SITE / name, tmp_path / name) for name in ("tn", "itn")]
    (tmp_path / missing).unlink()
    before = contents(*packages)
    error = run(READ, path=tmp_path).stderr.splitlines()[-1]
    assert error.startswith(f"ValueError: {tmp_path / missing} is missing") and "pip install --force-reinstall" in error
    assert contents(*packages) == before


@pytest.mark.parametrize("name, package", [(name, p) for name in ROUTES for p in route_module(name).PACKAGES])
def test_missing_package_is_one_clear_line(name, package, monkeypatch):
    def version(asked):
        if asked == package:
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(routes, "version", version)
    command = f"pip install {' '.join(route_module(name).PACKAGES)}, or choose --routes none"
    with pytest.raises(ValueError, match=f"^the route '{name}' needs {package}, which is not installed: {command}$"):
        make_route(name)


@pytest.mark.parametrize("name", ["speechio", "whisper"])  # test_paper.py and test_sure.py test more on these lines
def test_odd_lines_pass(name, odd_lines):
    route = make_route(name)
    for line in odd_lines:
        for lang in ("zh", "en"):
            assert isinstance(route.normalize(line, lang), str)
        reference, hypothesis, _ = tokens_of(route, line, line)
        assert reference == hypothesis and bool(reference) >= bool(score_tokens(line))


def test_names_and_versions():
    library = f"WeTextProcessing {version('WeTextProcessing')}"
    assert str(make_route("none")) == "none (2)"
    assert str(make_route("paper")) == f"paper (3, {library} zh_tn/en_tn)"
    assert str(make_route("sure")) == f"sure (2, {library} zh_itn)"
    whisper = f"whisper-normalizer {version('whisper-normalizer')}"
    assert str(make_route("whisper")) == f"whisper (2, {whisper})"
    assert str(make_route("speechio")) == f"speechio (2, {library}, {whisper})"
    with pytest.raises(ValueError, match=f"unknown normaliser route 'Paper': choose of {', '.join(ROUTES)}"):
        make_route("Paper")


def test_an_unproven_version_gets_no_short_cuts(monkeypatch):
    asked = []
    monkeypatch.setattr(routes, "version", lambda package: "9.9")
    monkeypatch.setattr(wetext, "run_fst", lambda name, line: asked.append((name, line)) or line)
    make_route("paper").normalize("plain", "en")
    make_route("paper").normalize("好的", "zh")
    make_route("sure").normalize("好的", "zh")
    assert asked == [("en_tn", "plain"), ("zh_tn", "好的"), ("zh_itn", "好的")]


def test_a_line_is_read_once_and_a_loop_in_equal_pieces(monkeypatch):
    calls = []

    class Grammar:
        def normalize(self, line):
            calls.append(line)
            return line

    monkeypatch.setattr(wetext, "load_fsts", lambda name: Grammar())
    wetext.run_piece.cache_clear()
    try:
        assert wetext.run_fst("en_tn", "five 5") == wetext.run_fst("en_tn", "five 5") == "five 5"
        assert wetext.run_fst("en_tn", "22 33 " * 1000).split() == ["22", "33"] * 1000
        assert "".join(wetext.run_fst("zh_tn", "哈" * 10_000 + "5").split()) == "哈" * 10_000 + "5"
        assert wetext.english("1." * 1000).replace(" ", "") == "1." * 1000
    finally:
        wetext.run_piece.cache_clear()
    assert calls == ["five 5", "22 33 " * 25, "哈" * 150, "哈" * 100 + "5", "1." * 75, "1." * 25]


@pytest.mark.parametrize(
    "reference, hypothesis, lang",
    [
        ("你好", "hi", "zh"),
        ("hi", "你好", "en"),
        ("", "你好", "zh"),
        ("9", "你好", "en"),
        ("", "", "en"),
        ("OK 吧", "", "zh"),
    ],
)
def test_the_reference_decides_the_language(reference, hypothesis, lang):
    assert language(reference, hypothesis) == lang


@pytest.mark.parametrize(
    "reference, stated, lang",
    [
        ("110", "zh", "zh"),
        ("20%", "zh-sichuan", "zh"),
        ("3.5℃", "yue", "zh"),
        ("5 km", "zh", "zh"),
        ("$5", "zh-en", "zh"),
        ("110", "en", "en"),
        ("110", "en-US", "en"),
        ("110", "", "en"),
        ("three", "zh", "en"),
        ("三", "en", "zh"),
        ("5G", "zh", "en"),
    ],
)
def test_the_stated_language_decides_where_the_reference_has_no_letters(reference, stated, lang):
    assert language(reference, "你好" if lang == "en" else "hi", stated) == lang


def test_the_language_of_a_set_is_that_of_most_references():
    assert language_of_set(["今天", "好 ok", "hello", "110", "5 kg"]) == "zh"
    assert language_of_set(["a", "b", "好", "1"]) == "en" and language_of_set(["1", "。"]) == ""


@pytest.mark.parametrize(
    "name, reference, hypothesis, expected",
    [
        ("paper", "啊", "啊", ("啊", "啊", True)),
        ("paper", "啊", "哦3", ("啊", "哦 3", True)),
        ("paper", "呃，啊！", "", ("呃 啊", "", True)),
        ("sure", "啊", "十", ("啊", "十", True)),
        ("none", "啊", "啊", ("啊", "啊", False)),
        ("paper", "啊3", "三", ("三", "三", False)),
        ("paper", "三", "啊", ("三", "", False)),
        ("paper", "", "啊", ("", "", False)),
        ("paper", "。", "啊", ("", "", False)),
        ("paper", "。", "5", ("", "five", False)),
        ("paper", "5", "五", ("five", "五", False)),
        ("sure", "三十块", "30块", ("30 块", "30 块", False)),
        ("speechio", "呃", "呃", ("呃", "呃", True)),
        ("speechio", "啊，", "", ("啊", "", True)),
        ("speechio", "Uh-huh.", "uh huh", ("uh huh", "uh huh", True)),
        ("speechio", "呃好", "好啊", ("好", "好", False)),
        ("whisper", "(laughs)", "laughs", ("laughs", "laughs", True)),
        ("whisper", "um", "", ("um", "", True)),
    ],
)
def test_a_reference_that_a_rule_deletes_falls_back_on_both_sides(name, reference, hypothesis, expected):
    ref, hyp, fell_back = tokens_of(make_route(name), reference, hypothesis)
    assert (" ".join(ref), " ".join(hyp), fell_back) == expected


def test_the_docs_have_the_tables_of_the_command(capsys):
    """To update docs/scoring.md: python -m espnet_llmasr.bin.score --list_routes"""
    with pytest.raises(SystemExit) as stopped:
        score.main(["--list_routes"])
    printed, document = capsys.readouterr().out, Path(__file__).parents[3] / "docs/scoring.md"
    assert stopped.value.code == 0 and printed in document.read_text(encoding="utf-8")
    assert all(line in printed for line in EXAMPLES) and all(f"| `{name}` |" in printed for name in ROUTES)


def test_a_route_whose_package_is_missing_has_no_column(monkeypatch):
    def make():
        raise ValueError("not installed")

    monkeypatch.setattr(route_module("sure"), "make", make)
    descriptions, examples = route_tables().split("\n\n")
    assert "| `sure` | WeTextProcessing's inverse" in descriptions and "`sure`" not in examples


def test_every_route_is_one_file():
    assert list(ROUTES) == sorted(ROUTES) and {"none", "paper"} < set(ROUTES)
    for name in ROUTES:
        module = route_module(name)
        assert module.DESCRIPTION and len(module.DESCRIPTION.splitlines()) == 1 and isinstance(module.PACKAGES, tuple)
        assert module.make().name == name
