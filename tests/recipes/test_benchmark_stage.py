"""Stage 12 of a recipe with --benchmark_conf: the paper's tables beside ours at the end of RESULTS.md."""

from recipe import REPO, Recipe


def test_stage_12_compares_with_the_paper_if_asked_to(made):
    made.run("--stage", 12)
    assert made.calls(".benchmark") == []
    conf = "../../../conf/benchmark.yaml"
    code, output = made.run("--stage", 12, "--benchmark_conf", conf, "--benchmark_args", "--size 2.3B")
    assert code == 0, output
    (call,) = made.calls(".benchmark")
    assert call.endswith(f"--config {conf} --ref_dir dump --hyp_dir exp/joint_sft/decode --size 2.3B")
    assert (made.dir / "RESULTS.md").read_text().count("u1 x") == 4
    code, output = made.run("--stage", 12, "--benchmark_conf", "conf/none.yaml")
    assert code == 1 and "no file conf/none.yaml: name an existing one with --benchmark_conf" in output


def test_zh_en_does(tmp_path):
    run_sh = (REPO / "egs2/zh_en/llmasr1/run.sh").read_text()
    recipe = Recipe(tmp_path, "zh_en")
    assert "--benchmark_conf conf/benchmark.yaml" in run_sh and (recipe.dir / "conf/benchmark.yaml").is_file()
