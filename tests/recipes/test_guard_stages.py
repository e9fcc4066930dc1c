"""The guard in the real llmasr.sh: its calibration, its options, its tables."""

import shlex


def test_decoding_is_guarded_by_the_ctc_head(made):
    code, output = made.run("--stage", 11, "--stop_stage", 11, "--guard", "redecode")
    assert code == 0, output
    for line in made.calls("llm_asr_inference"):
        words = shlex.split(line)
        values = dict(zip(words, words[1:]))
        assert values["--guard"] == "redecode" and values["--ctc_train_config"] == "exp/ctc_head/config.yaml"
        assert values["--ctc_model_file"] == "exp/ctc_head/latest.pth"


def test_without_the_head_one_line_says_what_to_do(made):
    (made.dir / "exp/ctc_head").rename(made.dir / "away")
    code, output = made.run("--stage", 11, "--stop_stage", 11)
    assert code == 1 and made.calls() == []
    assert "no file exp/ctc_head/guard.json: run stage 10 first, or give --guard off" in output
    code, output = made.run("--stage", 11, "--stop_stage", 11, "--guard", "off")
    assert code == 0 and len(made.calls("--guard off")) == 6, output
    assert "--guard is 'on', allowed are off, flag and redecode" in made.run("--guard", "on")[1]


def test_a_new_calibration_decodes_again(made):
    assert made.run("--stage", 11, "--stop_stage", 11)[0] == 0 and made.calls() == []
    (made.dir / "exp/ctc_head/guard.json").touch()
    made.run("--stage", 11, "--stop_stage", 11)
    assert len(made.calls("llm_asr_inference")) == 6


def test_tables_are_merged_and_old_ones_go(made):
    folder = made.dir / "exp/joint_sft/decode/test_zh"
    for number, line in enumerate(["b 0.5\n", "a 0.7\n"], 1):
        for table in ("score", "confidence"):
            (folder / f"2.shards/{table}.{number}").write_text(line)
    (folder / "redecoded.jsonl").write_text("old\n")
    assert made.run("--stage", 11, "--stop_stage", 11)[0] == 0 and made.calls() == []
    assert (folder / "score").read_text() == (folder / "confidence").read_text() == "a 0.7\nb 0.5\n"
    assert not (folder / "redecoded.jsonl").exists()
    for path in folder.glob("2.shards/confidence.*"):
        path.unlink()
    assert made.run("--stage", 11, "--stop_stage", 11)[0] == 0
    assert not (folder / "confidence").exists() and (folder / "text").exists()


def test_calibration_follows_the_head_and_the_device(made):
    made.run("--stage", 10, "--stop_stage", 10, "--ctc_head_args", "--max_epoch 9")
    assert made.names() == ["ctc_head", "calibrate_guard"]
    (line,) = made.calls("calibrate_guard")
    assert "--data_dir dump/valid " in line and line.endswith("--device cpu")
