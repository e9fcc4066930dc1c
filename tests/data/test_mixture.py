"""The mixture of the paper is the paper's, and no mixture can train on a test part."""

import re
import sys
from pathlib import Path

import pytest

from espnet_llmasr.bin import plan_corpora
from espnet_llmasr.data.mixture import read_mixture
from espnet_llmasr.data.prepare import CORPORA, load

ROOT = Path(__file__).resolve().parents[2]

TABLE_4 = {  # corpus: hours
    **dict(yodas_granary=120000, emilia=189000, mls_english=45000, voxpopuli=550, msr_86k=10000, commonvoice=3000),
    **dict(gigaspeech=10000, libriheavy=50000, librispeech=960, spgispeech=5000, peoples_speech=30000, vctk=25),
    **dict(tedlium3=500, wenetspeech_yue=22000, wenetspeech_chuan=10000, wenetspeech=11000, fleurs=100, aishell1=150),
    **dict(aishell2=1000, kespeech=1600, cs_dialogue=104, ascend=10),
}
TABLE_1_CELLS = dict(aishell1=2, aishell2=2, aishell_2021_eval=3, wsc_eval=2, wsyue_eval=2, kespeech=1, librispeech=4)
TABLE_1_CELLS |= dict(voxpopuli=2, cs_dialogue=1, ascend=1)
LANGUAGES = ("en", "zh", "yue", "zh-en", "zh-sichuan")


def mixture_of(recipe):
    return read_mixture(ROOT / "egs2" / recipe / "llmasr1" / "local" / "corpora.yaml")


def test_zh_en_is_table_4_and_table_1():
    mixture = mixture_of("zh_en")
    assert {row.corpus: row.hours for row in mixture["train"]} == TABLE_4
    assert [row.corpus for row in mixture["train"]] == list(TABLE_4)
    assert {row.corpus: len(row.parts) for row in mixture["test"]} == TABLE_1_CELLS


@pytest.mark.parametrize("recipe", ["zh_en", "librispeech", "aishell"])
def test_a_part_serves_one_purpose(recipe):
    """What is tested on neither trains nor validates, and every variable stands in db.sh."""
    mixture = mixture_of(recipe)
    parts = {name: {(row.corpus, part) for row in rows for part in row.parts} for name, rows in mixture.items()}
    assert not parts["train"] & parts["valid"] and not parts["test"] & (parts["train"] | parts["valid"])
    db = (ROOT / "egs2" / "TEMPLATE" / "llmasr1" / "db.sh").read_text()
    assert all(f"export {row.src}=${{{row.src}:-}}" in db for rows in mixture.values() for row in rows)


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_is_described(name):
    corpus = load(name)
    assert corpus.parts and set(corpus.tests) <= set(corpus.parts)
    assert corpus.url.startswith("https://") and corpus.licence
    assert set(corpus.lang.split(", ")) <= set(LANGUAGES)
    opening = sys.modules[f"espnet_llmasr.data.corpora.{name}"].__doc__
    assert "Layout" in opening and "Quirks" in opening, "source, licence, layout and quirks open the file"
    assert (name in TABLE_4) == (set(corpus.tests) < set(corpus.parts)), "in Table 4, or a benchmark of test parts only"


def test_what_is_missing_is_said_before_the_jobs(tmp_path, monkeypatch, capsys):
    for part in ("train-clean-100", "train-other-500", "dev-clean", "dev-other", "test-clean", "test-other"):
        (tmp_path / "LibriSpeech" / part).mkdir(parents=True)
    monkeypatch.setenv("LIBRISPEECH", str(tmp_path / "LibriSpeech"))
    monkeypatch.delenv("AISHELL1", raising=False)
    mixture = ROOT / "egs2" / "zh_en" / "llmasr1" / "local" / "corpora.yaml"
    plan_corpora.main([str(mixture), "--jobs", str(tmp_path / "jobs.tsv")])
    told = capsys.readouterr().out
    assert f"train  librispeech              960 h  {tmp_path}/LibriSpeech, WITHOUT train-clean-360\n" in told
    assert f"test   librispeech                     {tmp_path}/LibriSpeech\n" in told
    assert "train  aishell1                 150 h  MISSING: set AISHELL1 in db.sh (https://" in told
    assert "here: 1 of 22 train, 0 of 9 valid, 1 of 10 test corpora; 960 of 509,999 h of training speech (less" in told
    parts = dict.fromkeys(("train-clean-100", "train-other-500"), "train")
    parts |= dict.fromkeys(("dev-clean", "dev-other", "test-clean", "test-other"), "test")
    jobs = [line.split("\t")[:4] for line in (tmp_path / "jobs.tsv").read_text().splitlines()]
    assert jobs == [[kind, f"librispeech_{part}", "librispeech", part] for part, kind in parts.items()]


ROW = "{corpus: librispeech, src: LIBRISPEECH, parts: [%s]}"


@pytest.mark.parametrize(
    "text, message",
    [
        ("train: []\n", "must hold the lists train, valid, test"),
        (f"train: [{ROW % 'test-clean'}]\nvalid: []\ntest: []\n", "part 'test-clean' of librispeech is a test set"),
        (f"train: [{ROW % 'clean'}]\nvalid: []\ntest: []\n", "no part 'clean', its parts are train-clean-100"),
        ("train: [{corpus: x, src: X, parts: []}]\nvalid: []\ntest: []\n", "no corpus 'x', allowed are aishell1"),
        ("train: [{corpus: vctk}]\nvalid: []\ntest: []\n", "must have corpus, src and a list of parts"),
        ("train: [{corpus: vctk, src: VCTK, parts: all}]\nvalid:\ntest:\n", "must have corpus, src and a list of"),
        (f"train: [{ROW[:-1] % 'train-clean-100'}, hours: x}}]\nvalid:\ntest:\n", "may have hours (a number)"),
        (f"train: [{ROW[:-1] % 'train-clean-100'}, set: {{a: 1}}}}]\nvalid:\ntest:\n", "no option 'a', its options"),
        ("train: {vctk: all}\nvalid:\ntest:\n", "list train: expected a list of {corpus, src, parts}, not"),
        ("train:\nvalid:\ntest:\n", "no corpus is here to train on"),
        (f"train: []\nvalid: []\ntest: [{ROW % 'test-clean'}]\n", "no corpus is here to train on"),
    ],
)
def test_a_wrong_mixture_is_told(write, tmp_path, monkeypatch, text, message):
    (tmp_path / "test-clean").mkdir()
    monkeypatch.setenv("LIBRISPEECH", str(tmp_path))
    with pytest.raises(ValueError, match=re.escape(message)):
        plan_corpora.main([str(write(tmp_path / "m.yaml", text)), "--jobs", str(tmp_path / "jobs")])
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize("name, message", [("none", "is no folder: correct db.sh"), ("", ": .* no train-clean-100")])
def test_a_missing_or_wrong_folder_is_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.setenv("LIBRISPEECH", str(tmp_path / name))
    with pytest.raises(ValueError, match=f"LIBRISPEECH={tmp_path / name}.*{message}"):
        plan_corpora.main([str(ROOT / "egs2" / "librispeech" / "llmasr1" / "local" / "corpora.yaml")])
