"""Stage 13 of a recipe: the clips, three decodings of them, a second one of the test sets, and the page of tables."""

import shutil


def test_the_suite_is_transcribed_without_and_with_the_guard(made):
    shutil.rmtree(made.dir / "dump/nonspeech")
    (made.dir / "ROBUSTNESS.md").unlink()
    code, output = made.run("--stage", 13, "--stop_stage", 13, "--nonspeech_clips", 40, "--inference_nj", 1)
    assert code == 0, output
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
    (made.dir / "exp/joint_sft/latest.pth").touch()
    (made.dir / "exp/joint_sft/decode/test_zh/text").touch()
    made.run("--stage", 13, "--stop_stage", 13, "--inference_nj", 2)
    assert made.calls("make_nonspeech") == [] and len(made.calls("llm_asr_inference")) == 2 * 6


def test_no_clips(made):
    code, output = made.run("--stage", 13, "--stop_stage", 13, "--nonspeech_clips", 0)
    assert code == 0 and made.names() == ["compare"], output
    assert (made.dir / "ROBUSTNESS.md").read_text().count("##") == 2


def test_missing_inputs(made):
    for name, stage in {"exp/ctc_head/guard.json": 10, "exp/joint_sft/decode/test_en/text": 11}.items():
        (made.dir / name).unlink()
        code, output = made.run("--stage", 13, "--stop_stage", 13)
        assert code == 1 and f"{name} is missing: run stage {stage} first" in output, output
        assert made.names() == []  # said before anything is decoded
        (made.dir / name).touch()
