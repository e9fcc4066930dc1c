"""An alignment and an IA-SFT that follow a plan's schedules."""

import torch

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import swap_log
from espnet_llmasr.encoder_swap.plan import ia_sft_schedule


def test_ia_sft_follows_the_planned_schedule(llm_options, build_model, tmp_path):
    """Encoders 10, 20, 30 and 40 in five epochs, one of them final: 10 to 40 beside epochs 1 to 4, then the last."""
    store, published = EncoderStore(tmp_path / "store"), [10, 20, 30, 40]
    model, _ = build_model(LLMASRTask, llm_options(tmp_path / "model" / "x"))
    states = {n: {k: v + n / 1e3 for k, v in model.encoder.state_dict().items()} for n in published}
    for step in published:
        store.publish(step, states[step])
    store.publish_final(40)
    schedule = tmp_path / "planned.jsonl"
    swap_log(schedule).write(ia_sft_schedule(published, epochs=5, final_epochs=1))
    start = tmp_path / "align" / "latest.pth"
    shared = dict(encoder_dir=str(store.directory), num_iters_per_epoch=1, keep_nbest_models=9)
    stages = {
        "align": dict(freeze_param=["encoder", "llm"], max_epoch=1),
        "ia_sft": dict(freeze_param=["encoder"], max_epoch=5, swap_schedule=str(schedule), init_param=[str(start)]),
    }
    for name, conf in stages.items():
        LLMASRTask.main(cmd=[*llm_options(tmp_path / name, **shared, **conf)])
    done = [(swap.epoch, swap.encoder_step) for swap in swap_log(tmp_path / "ia_sft" / "swaps.jsonl").read()]
    assert done == [(3, 20), (4, 30), (5, 40)]  # epochs 1 to 4 start at 10, 17.5, 25, 32.5
    for epoch, step in enumerate((10, 10, 20, 30, 40), 1):
        weights = torch.load(tmp_path / "ia_sft" / f"{epoch}epoch.pth", weights_only=True)
        assert int(weights["swap_step"]) == step
        assert all(weights[f"encoder.{name}"].equal(value) for name, value in states[step].items())
    assert not (tmp_path / "ia_sft" / "6epoch.pth").exists()
