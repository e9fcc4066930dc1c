"""Stages 10 to 13 of the real llmasr.sh: the guard, the clips without speech, and the paper's tables beside ours."""

import shutil

from recipe import REPO, Recipe, value_of


def test_decoding_is_guarded_by_the_ctc_head(made):
    made.succeed("--stage", 11, "--stop_stage", 11, "--guard", "redecode")
    for line in made.calls("llm_asr_inference"):
        assert value_of(line, "--guard") == "redecode"
        assert value_of(line, "--ctc_train_config") == "exp/ctc_head/config.yaml"
        assert value_of(line, "--ctc_model_file") == "exp/ctc_head/latest.pth"


def test_without_the_head_one_line_says_what_to_do(made):
    (made.dir / "exp/ctc_head").rename(made.dir / "away")
    message = "no file exp/ctc_head/guard.json: run stage 10 first, or give --guard off"
    assert message in made.fail("--stage", 11, "--stop_stage", 11) and made.calls() == []
    made.succeed("--stage", 11, "--stop_stage", 11, "--guard", "off")
    assert len(made.calls("--guard off")) == 6


def test_a_new_calibration_decodes_again(made):
    assert made.run("--stage", 11, "--stop_stage", 11)[0] == 0 and made.calls() == []
    (made.dir / "exp/ctc_head/guard.json").write_text("new")
    made.run("--stage", 11, "--stop_stage", 11)
    assert len(made.calls("llm_asr_inference")) == 6


def test_tables_are_merged_and_old_ones_go(made):
    folder = made.dir / "exp/joint_sft/decode/test_zh"
    for number, line in enumerate(["b 0.5\n", "a 0.7\n"], 1):
        for table in ("score", "confidence", "gaps", "words.jsonl"):
            (folder / f"2.shards/{table}.{number}").write_text(line)
    (folder / "redecoded.jsonl").write_text("old\n")
    assert made.run("--stage", 11, "--stop_stage", 11)[0] == 0 and made.calls() == []
    merged = {(folder / table).read_text() for table in ("score", "confidence", "gaps", "words.jsonl")}
    assert merged == {"a 0.7\nb 0.5\n"}
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


def test_the_suite_is_transcribed_without_and_with_the_guard(made):
    shutil.rmtree(made.dir / "dump/nonspeech")
    (made.dir / "ROBUSTNESS.md").unlink()
    output = made.succeed("--stage", 13, "--stop_stage", 13, "--nonspeech_clips", 40, "--inference_nj", 1)
    (make,) = made.calls("make_nonspeech")
    assert make.endswith("--out dump/nonspeech --wav_scp dump/train/wav.scp --clips 40 --fs 16000")
    off, flag, redecode, *sets = made.calls("llm_asr_inference")
    assert len(sets) == 3 and all("robustness/redecode/test_" in call for call in sets)
    for call, mode in ((off, "off"), (flag, "flag"), (redecode, "redecode")):
        assert "--data_dir dump/nonspeech " in call and call.endswith(f"--guard {mode}")
        assert f"--output_dir exp/joint_sft/robustness/{mode}/nonspeech/1.shards" in call
        assert (made.dir / f"exp/joint_sft/robustness/{mode}/nonspeech/text").read_text() == "u1 x\n"
    assert "--ctc_model_file exp/ctc_head/latest.pth" in flag
    (table,) = made.calls("nonspeech_table")
    assert "--hyp_dir exp/joint_sft/robustness/off/nonspeech" in table
    assert "--guard_dir exp/joint_sft/robustness/flag/nonspeech" in table
    assert "--redecode_dir exp/joint_sft/robustness/redecode/nonspeech" in table
    (comparison,) = made.calls("compare")
    assert "--hyp_dir exp/joint_sft/robustness/redecode --other_hyp_dir exp/joint_sft/decode test_zh" in comparison
    page = (made.dir / "ROBUSTNESS.md").read_text()
    assert page == (
        "# Robustness of joint_sft/latest.pth\n\n## Clips without speech\n\nu1 x\n"
        "\n## The guard on replaced audio\n\nu1 x\n"
        "\n## Doubtful transcripts decoded again\n\nu1 x\n"
    )
    assert f"Robustness: {made.dir / 'ROBUSTNESS.md'}" in output


def test_a_new_model_is_tried_on_the_same_clips(made):
    (made.dir / "exp/joint_sft/latest.pth").write_text("new")
    made.succeed("--stage", 11, "--stop_stage", 13, "--inference_nj", 2)
    assert made.calls("make_nonspeech") == [] and len(made.calls("llm_asr_inference")) == 2 * (3 + 6)


def test_no_clips(made):
    code, output = made.run("--stage", 13, "--stop_stage", 13, "--nonspeech_clips", 0)
    assert code == 0 and made.names() == ["compare"], output
    assert (made.dir / "ROBUSTNESS.md").read_text().count("##") == 2


def test_missing_inputs(made):
    for name, stage in {"exp/ctc_head/guard.json": 10, "exp/joint_sft/decode/test_en/text": 11}.items():
        (made.dir / name).unlink()
        assert f"{name} is missing: run stage {stage} first" in made.fail("--stage", 13, "--stop_stage", 13)
        assert made.names() == []  # said before anything is decoded
        (made.dir / name).touch()


def test_stage_12_compares_with_the_paper_if_asked_to(made):
    made.run("--stage", 12)
    assert made.calls(".benchmark") == []
    conf = "../../../conf/benchmark.yaml"
    made.succeed("--stage", 12, "--benchmark_conf", conf, "--benchmark_args", "--size 2.3B")
    (call,) = made.calls(".benchmark")
    assert call.endswith(f"--config {conf} --ref_dir dump --hyp_dir exp/joint_sft/decode --size 2.3B")
    assert (made.dir / "RESULTS.md").read_text().count("u1 x") == 4
    output = made.fail("--stage", 12, "--benchmark_conf", "none.yaml")
    assert "no file none.yaml: name an existing one with --benchmark_conf" in output


def test_zh_en_does(tmp_path):
    run_sh = (REPO / "egs2/zh_en/llmasr1/run.sh").read_text()
    recipe = Recipe(tmp_path, "zh_en")
    assert "--benchmark_conf conf/benchmark.yaml" in run_sh and (recipe.dir / "conf/benchmark.yaml").is_file()


def test_the_pack_has_the_model_its_head_and_its_figures(made):
    made.succeed("--stage", 15, "--pack_args", "--license 'cc by' --languages zh")
    (line,) = made.calls(".pack")
    assert value_of(line, "--llm_asr_model_file") == "exp/joint_sft/latest.pth"
    assert value_of(line, "--ctc_model_file") == "exp/ctc_head/latest.pth" and value_of(line, "--data") == "dump/train"
    assert value_of(line, "--scores") == "exp/joint_sft/decode/scores.json" and value_of(line, "--out") == "exp/pack"
    decode, robustness = "exp/joint_sft/decode", "exp/joint_sft/robustness"
    assert f" --pages {decode}/RESULTS.md {robustness}/ROBUSTNESS.md --robustness {robustness} " in line
    assert (
        line.endswith("--license cc by --languages zh")
        and " --decoding=--config conf/decode.yaml --guard flag --pages " in line
    )
    (made.dir / robustness / "ROBUSTNESS.md").unlink()
    made.succeed("--stage", 15)
    assert "--robustness" not in made.calls(".pack")[0]


def test_the_pages_are_of_this_experiment(made):
    """RESULTS.md of the recipe's folder is that of the last experiment that was scored there."""
    for name, folder in {"RESULTS.md": "decode", "ROBUSTNESS.md": "robustness"}.items():
        page = made.dir / f"exp/joint_sft/{folder}" / name
        assert page.read_text() == (made.dir / name).read_text()
        (made.dir / name).write_text("of another one")
    made.succeed("--stage", 15, "--pack_args", "--license mit")
    assert " RESULTS.md" not in made.calls(".pack")[0]


def test_transcripts_of_another_model_or_by_other_options_are_refused(made):
    """Stages 12, 13 and 15 tell of transcripts what made them."""
    (made.dir / "exp/joint_sft/other.pth").write_text("other")
    (made.dir / "decode.yaml").write_text("beam_size: 5")
    wrong = [("--inference_model", "other.pth"), ("--decode_args", "--beam_size 10"), ("--guard", "redecode")]
    wrong.append(("--decode_conf", "decode.yaml"))
    for stage in (12, 13, 15):
        for options in wrong if stage != 13 else wrong[:2]:  # which sets the guard itself
            output = made.fail("--stage", stage, "--stop_stage", stage, *options)
            assert "exp/joint_sft/decode/test_zh is not by this joint_sft/" in output and "or run it again" in output
            assert made.names() == []
    made.succeed("--stage", 11, "--stop_stage", 12, *wrong[0])
    assert "## Transcripts of joint_sft/other.pth" in (made.dir / "RESULTS.md").read_text()
    assert "test_zh is not by this joint_sft/latest.pth" in made.fail("--stage", 15)
    assert "it is left out; for its figures run stage 13" in made.succeed("--stage", 15, *wrong[0])
    (line,) = made.calls(".pack")
    assert "--robustness" not in line and "ROBUSTNESS.md" not in line
    made.succeed("--stage", 11, "--stop_stage", 11, "--inference_nj", 1, *wrong[1])
    assert "RESULTS.md is of another model or other" in made.fail("--stage", 15, *wrong[1])
    made.succeed("--stage", 12, "--stop_stage", 12, *wrong[1])  # however many jobs, and where
    made.succeed("--stage", 15, *wrong[1])
    assert " --decoding=--config conf/decode.yaml --guard flag --beam_size 10 --pages " in made.calls(".pack")[0]


def test_transcripts_of_earlier_weights_are_refused_and_those_of_removed_ones_are_not(made):
    model, mark = made.dir / "exp/joint_sft/latest.pth", made.dir / "exp/joint_sft/decode/test_en/made_by"
    content = model.read_text()
    model.write_text("trained again")
    assert "is not by this joint_sft/latest.pth" in made.fail("--stage", 12, "--stop_stage", 12)
    model.unlink()
    made.succeed("--stage", 12, "--stop_stage", 12)
    model.write_text(content)
    made.succeed("--stage", 12, "--stop_stage", 12)
    mark.write_text("unfinished\n")
    assert "decode/test_en is not by this" in made.fail("--stage", 12, "--stop_stage", 12)
    mark.unlink()  # of an older version
    made.succeed("--stage", 12, "--stop_stage", 12)


def test_the_guard_is_tried_on_transcripts_without_it(made):
    """Without it and with flags the text is the same."""
    made.succeed("--stage", 11, "--stop_stage", 11, "--guard", "off")
    made.succeed("--stage", 13, "--stop_stage", 13)
    assert "test_zh is not by this" in made.fail("--stage", 12, "--stop_stage", 12)
    made.succeed("--stage", 12, "--stop_stage", 12, "--guard", "off")


def test_nothing_is_sent_unless_asked_to(made):
    sending = ("--stage", 16, "--stop_stage", 16)
    output = made.fail(*sending, "--hub_repo", "me/digits")
    assert "the card, has another name than me/digits: run stage 15 with this --hub_repo, too" in output
    made.succeed("--stage", 15, "--hub_repo", "me/digits")
    output = made.succeed(*sending, "--hub_repo", "me/digits", "--upload_args", "--dry_run")
    assert "sent exp/pack to me/digits" in output
    assert made.calls(".upload")[0].endswith("espnet_llmasr.bin.upload exp/pack me/digits --dry_run")
    shutil.rmtree(made.dir / "exp/pack")
    assert "exp/pack/meta.yaml is missing: run stage 15 first" in made.fail(*sending, "--hub_repo", "me/digits")
