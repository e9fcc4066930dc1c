"""The commands of the guard: calibration, verification, decoding, and tests with corrupted audio."""

import json

import pytest

from espnet_llmasr.bin import calibrate_guard, llm_asr_inference, measure_guard, verify_transcripts
from espnet_llmasr.files import read_scp, write_scp


def files(head):
    return ["--ctc_train_config", f"{head}/config.yaml", "--ctc_model_file", f"{head}/latest.pth"]


def decode(model, data, out, *more):
    """Arguments; with few tokens, since longer transcripts of the untrained LLM are loops, which the guard ends."""
    options = ["--llm_asr_train_config", f"{model}/config.yaml", "--llm_asr_model_file", f"{model}/latest.pth"]
    return [*options, "--data_dir", str(data), "--output_dir", str(out), "--tokens_per_second", "1", *map(str, more)]


def set_threshold(head, folder, threshold):
    """A copy of the head with another threshold."""
    folder.mkdir()
    for name in ("config.yaml", "latest.pth"):
        (folder / name).symlink_to(head / name)
    saved = json.loads((head / "guard.json").read_text())
    (folder / "guard.json").write_text(json.dumps({**saved, "threshold": threshold, "doubt": 1.0}))
    return folder


@pytest.fixture(scope="module")
def head(ctc_head, corpus, tmp_path_factory):
    """A CTC head that is calibrated on the validation set."""
    out = set_threshold(ctc_head, tmp_path_factory.mktemp("calibrated") / "head", 0.5)
    calibrate_guard.main([*files(out), "--data_dir", str(corpus / "valid")])
    return out


def test_calibration_is_the_quantile_of_the_true_transcripts(head, corpus, tmp_path):
    saved = json.loads((head / "guard.json").read_text())
    options = [*files(head), "--data_dir", str(corpus / "valid"), "--hyp_dir", str(corpus / "valid")]
    verify_transcripts.main([*options, "--output_dir", str(tmp_path)])
    confidences = sorted(float(value) for value in read_scp(tmp_path / "confidence").values())
    assert saved["utterances"] == 4 and saved["doubt"] == pytest.approx(confidences[0], abs=1e-6)
    assert read_scp(tmp_path / "flagged") == {}
    rows = [json.loads(line) for line in (tmp_path / "words.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == sorted(read_scp(corpus / "valid" / "text"))
    assert all(set(word) == {"text", "start_s", "end_s", "confidence"} for row in rows for word in row["words"])


def test_flags_beside_the_same_transcripts(llm_model, head, corpus, tmp_path):
    always = set_threshold(head, tmp_path / "copy", 1.0)
    llm_asr_inference.main(decode(llm_model, corpus / "train", tmp_path / "off"))
    llm_asr_inference.main(decode(llm_model, corpus / "train", tmp_path / "flag", "--guard", "flag", *files(always)))
    for name in ("text", "score"):
        assert (tmp_path / "off" / name).read_bytes() == (tmp_path / "flag" / name).read_bytes()
    assert not (tmp_path / "off" / "confidence").exists() and not (tmp_path / "off" / "flagged").exists()
    confidences, flagged = (read_scp(tmp_path / "flag" / name) for name in ("confidence", "flagged"))
    assert confidences.keys() == read_scp(corpus / "train" / "text").keys()
    rows = [json.loads(line) for line in (tmp_path / "flag" / "words.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == sorted(confidences)
    gaps = {uid for uid, reasons in flagged.items() if "gap" in reasons.split(",")}
    assert read_scp(tmp_path / "flag" / "gaps").keys() == gaps
    unsupported = {uid for uid, reasons in flagged.items() if "unsupported" in reasons.split(",")}
    assert unsupported == {uid for uid, value in confidences.items() if float(value) < 1.0} and unsupported


def test_files_of_an_earlier_guard_do_not_survive(llm_model, head, corpus, tmp_path):
    always = set_threshold(head, tmp_path / "copy", 1.0)
    out = tmp_path / "out"
    llm_asr_inference.main(decode(llm_model, corpus / "valid", out, "--guard", "redecode", *files(always)))
    names = {path.name for path in out.iterdir()}
    assert names == {"text", "score", "confidence", "flagged", "words.jsonl", "gaps", "redecoded.jsonl"}
    llm_asr_inference.main(decode(llm_model, corpus / "valid", out, "--guard", "flag", *files(always)))
    assert {path.name for path in out.iterdir()} == names - {"redecoded.jsonl"}
    llm_asr_inference.main(decode(llm_model, corpus / "valid", out))
    assert {path.name for path in out.iterdir()} == {"text", "score"}


def test_second_decodings_are_recorded(llm_model, head, corpus, tmp_path):
    always = set_threshold(head, tmp_path / "copy", 1.0)
    data = corpus / "train"
    for mode in ("flag", "redecode"):
        llm_asr_inference.main(decode(llm_model, data, tmp_path / mode, "--guard", mode, *files(always)))
    first, final = (read_scp(tmp_path / mode / "text") for mode in ("flag", "redecode"))
    before, after = (read_scp(tmp_path / mode / "confidence") for mode in ("flag", "redecode"))
    scores = read_scp(tmp_path / "flag" / "score")
    changed = {uid for uid in first if first[uid] != final[uid]}
    unsupported = {uid for uid, reasons in read_scp(tmp_path / "redecode" / "flagged").items() if "unsup" in reasons}
    assert unsupported == {uid for uid, value in after.items() if float(value) < 1.0}
    rows = [json.loads(line) for line in (tmp_path / "redecode" / "redecoded.jsonl").read_text().splitlines()]
    assert {row["id"] for row in rows} == changed
    for row in rows:
        uid = row["id"]
        assert row["first"]["text"] == first[uid] and row["final"]["text"] == final[uid]
        assert row["first"]["confidence"] == float(before[uid]) and row["first"]["score"] == float(scores[uid])
        assert set(row["final"]["flags"]) <= {"unsupported", "budget", "loop", "gap"}
        assert row["final"]["confidence"] == float(after[uid])


def test_corrupted_audio_is_measured(head, corpus, tmp_path):
    (tmp_path / "hyp" / "valid").mkdir(parents=True)
    write_scp(tmp_path / "hyp" / "valid" / "text", read_scp(corpus / "valid" / "text"))
    out = tmp_path / "guard"
    options = ["--ref_dir", str(corpus), "--hyp_dir", str(tmp_path / "hyp"), "--out", str(out)]
    measure_guard.main([*files(head), *options, "valid"])
    result = json.loads(out.with_suffix(".json").read_text())
    assert result["utterances"] == 4 and result["false alarms"]["of"] == 4
    assert result["wrong"]["detected"]["of"] == 0 and result["replaced"]["other"]["detected"]["of"] == 4
    assert "| own audio: false alarms | 0.0 (0.0-49.0), 0 of 4 |" in out.with_suffix(".md").read_text()


# ---- mistakes ------------------------------------------------------------------------------------------------------


def test_a_guard_that_cannot_be(mistake, llm_model, head, corpus, tmp_path):
    def message(*options):
        return mistake(llm_asr_inference, *decode(llm_model, corpus / "valid", tmp_path / "o", *options))

    assert "unknown guard 'on': choose one of off, flag, redecode" in message("--guard", "on")
    advice = "run stage 10, which fits and calibrates it, or decode with --guard off"
    assert message("--guard", "flag").endswith(f"--guard flag needs --ctc_train_config, of the CTC head: {advice}")
    assert f"no file none/config.yaml, which --guard flag needs: {advice}" in message(
        "--guard", "flag", "--ctc_train_config", "none/config.yaml", "--ctc_model_file", "none/latest.pth"
    )
    copy = set_threshold(head, tmp_path / "copy", 0.5)
    (copy / "guard.json").unlink()
    assert "so the guard has no threshold: run stage 10" in message("--guard", "flag", *files(copy))
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda texts: texts.pop("valid_0"), "1 references have no hypothesis (valid_0)"),
        (lambda texts: texts.update(other="x"), "1 hypotheses have no reference (other)"),
    ],
)
def test_transcripts_of_other_utterances(mistake, head, corpus, tmp_path, change, message):
    texts = read_scp(corpus / "valid" / "text")
    change(texts)
    write_scp(tmp_path / "text", texts)
    options = ["--data_dir", corpus / "valid", "--hyp_dir", tmp_path]
    assert message in mistake(verify_transcripts, *files(head), *options)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_results_come_beside_the_transcripts(head, corpus, tmp_path):
    write_scp(tmp_path / "text", read_scp(corpus / "valid" / "text"))
    verify_transcripts.main([*files(head), "--data_dir", str(corpus / "valid"), "--hyp_dir", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"text", "confidence", "flagged", "words.jsonl"}


def test_no_utterances(mistake, head, tmp_path):
    for name in ("wav.scp", "text"):
        (tmp_path / name).touch()
    line = mistake(verify_transcripts, *files(head), "--data_dir", tmp_path, "--hyp_dir", tmp_path)
    assert line.endswith(f"{tmp_path}/wav.scp is empty: run the data stage (2)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "wav.scp"]
