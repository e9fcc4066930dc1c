import os
import subprocess
import sys

import pytest

from espnet_llmasr.text import wetext
from espnet_llmasr.text.normalize import normalize
from espnet_llmasr.text.transcript import Transcript

pytest.importorskip("tn", reason="pip install WeTextProcessing")
READ = "from espnet_llmasr.text.transcript import Transcript as T; print(T()('3个啊儿嘅', 'zh')[0])"


def process(cache, code=READ):
    options = dict(env={**os.environ, "ESPNET_LLMASR_CACHE": str(cache)}, text=True)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_two_processes_build_one_cache_silently_and_nothing_else(tmp_path):
    """Interjections, erhua and traditional characters survive."""
    for done in [process(tmp_path) for _ in range(2)]:
        assert done.communicate() == ("三个啊儿嘅\n", "") and done.returncode == 0
    built = tmp_path / wetext.cache_dir().name
    assert sorted(os.listdir(built)) == ["zh_tn_tagger.fst", "zh_tn_verbalizer.fst"]
    assert os.listdir(tmp_path) == [built.name]
    written = {path: path.stat().st_mtime_ns for path in built.iterdir()}
    assert process(tmp_path).communicate() == ("三个啊儿嘅\n", "")
    assert written == {path: path.stat().st_mtime_ns for path in built.iterdir()}


def test_a_folder_without_write_permission_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    output, error = process(tmp_path / "file" / "below").communicate()
    assert output == "" and error.splitlines()[-1].startswith("ValueError: cannot write")
    assert "ESPNET_LLMASR_CACHE" in error.splitlines()[-1]


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("ESPNET_LLMASR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert wetext.cache_dir().parent == tmp_path / "espnet_llmasr"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wetext.cache_dir().parent == tmp_path / ".cache" / "espnet_llmasr"


def test_missing_package_is_named_at_the_first_line_with_digits(tmp_path):
    code = (
        "import sys; sys.modules['tn'] = None; from espnet_llmasr.text.transcript import Transcript as T; "
        "print(T()('No digits.', 'en')); T()('Digits: 3.', 'en')"
    )
    output, error = process(tmp_path, code).communicate()
    assert output == "('no digits', '')\n"
    last = error.splitlines()[-1]
    assert last.startswith("ValueError: ") and last.endswith("pip install WeTextProcessing")


@pytest.mark.parametrize(
    "line, lang",
    [
        ("Don't stop, it's the ChatGPT of the GPU!", "en"),
        ("He said: “yes” (twice), co-op — and so on...", "en"),
        ("今天天气很好，我们去玩吧！", "zh"),
        ("用Python写了一个demo，然后push到git", "zh-en"),
        ("嘅 噉 諗 係 靚 㗎𨋢", "yue"),
        ("《三体》“黑暗森林”、ＡＢＣ……", "zh"),
    ],
)
def test_wetextprocessing_does_not_change_plain_lines(line, lang, grammar):
    """Lines without digits can therefore skip it; our options keep interjections, erhua and traditional characters."""
    read = wetext.english if lang == "en" else wetext.mandarin
    assert normalize(read(line)) == Transcript()(line, lang)[0]


@pytest.mark.parametrize(
    "line, theirs, ours",
    [("啊", "", "啊"), ("小孩儿在花儿那玩儿", "小孩在花那玩", "小孩儿在花儿那玩儿"), ("嘅噉諗", "慨啖谂", "嘅噉諗")],
)
def test_the_three_rules_that_we_switch_off(line, theirs, ours):
    from tn.chinese.normalizer import Normalizer

    assert Normalizer().normalize(line) == theirs
    assert wetext.mandarin(line) == ours
    assert Transcript()(line, "yue") == (ours, "")
