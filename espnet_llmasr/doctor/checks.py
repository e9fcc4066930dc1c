"""The checks: each is a function from a context to a finding, or to None where it does not apply.

B utterances, V vocabulary, U tokens.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, Optional, Tuple

import torch
from torch import nn

from espnet_llmasr.doctor.context import ENOUGH, Context, Rows, of_one_length
from espnet_llmasr.doctor.options import without_effect
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.phonemes import min_frames
from espnet_llmasr.train.engine import scaled_rates

SAME = 1e-3  # largest difference of two losses, as a share, that is rounding
WORSE = 1.1  # the loss with other audio must be this many times the one with the right audio
UPDATES, LEAST, MOST = 3, 1e-6, 0.5  # size of an update, as a share of the size of the weights


@dataclass(frozen=True)
class Finding:
    """What a check has measured; `remedy` tells what to do if it has not passed."""

    passed: bool
    measured: str
    remedy: str


def labels_of_loss(context: Context) -> Counter:
    """How often each token is a label of the loss of all utterances.

    The logits of the LLM's head are replaced by zeros: the gradient of a cross-entropy is then negative at the label,
    and zero at a position without a label, whatever the weights are and wherever the model puts its positions.
    """
    logits = []

    def replace(module, inputs, output):
        logits.append(torch.zeros_like(output, requires_grad=True))
        return logits[-1]

    hook = context.model.llm.get_output_embeddings().register_forward_hook(replace)
    try:
        context.loss()[0].backward()
    finally:
        hook.remove()
    rows = torch.cat([part.grad.flatten(0, -2) for part in logits if part.grad is not None])
    return Counter(rows[rows.any(-1)].argmin(-1).tolist())


def check_prompt(context: Context) -> Optional[Finding]:
    """The loss counts tokens of the transcripts only, not those of the prompt."""
    if context.task is not LLMASRTask:
        return None
    labels, prompt = labels_of_loss(context), context.task.build_prompt(context.args)
    transcripts = context.table("text", {uid for uid, _ in context.rows})
    other = labels - Counter(token for text in transcripts.values() for token in prompt.target(text))
    measured = f"{other.total()} of {labels.total()} labels are not of a transcript"
    return Finding(not other, measured, "label the prompt with IGNORE_ID, as asr/llm_asr_model.py does")


def check_end_token(context: Context) -> Optional[Finding]:
    """Each transcript ends with the end token, which is a label."""
    if context.task is not LLMASRTask:
        return None
    end, count = context.task.build_prompt(context.args).end_id, len(context.rows)
    ends = sum(data["text"][-1:].tolist() == [end] for _, data in context.rows)
    ends = min(ends, labels_of_loss(context)[end])
    remedy = "decoding would never end: targets must be made by Prompt.target, and pad tokens must not be masked by id"
    return Finding(ends == count, f"the end token is a label of {ends} of {count} transcripts", remedy)


@torch.no_grad()
def check_padding(context: Context) -> Finding:
    """The loss of utterances is the same one by one, in a batch, and with a batch whose padding holds noise.

    Measured once the utterances are known by heart: the loss of random weights hardly depends on what they see. They
    have their own lengths here, not the one length of `overfit`.
    """
    with context.changing(context.fit.weights):
        alone = [context.loss(context.batch([row])) for row in context.rows]
        together, noisy = (context.value(batch) for batch in (context.batch(), with_noise(context.batch())))
    labels = sum(weight for _, weight in alone)
    expected = sum(float(loss) * weight for loss, weight in alone) / labels
    differences = [abs(loss - expected) / max(abs(expected), 1e-6) for loss in (together, noisy)]
    measured = "the loss changes by {:.0e} in a batch, by {:.0e} with noise in its padding".format(*differences)
    remedy = "mask padding in encoder, adaptor and LLM; ESPnet's encoders need rel_pos_type: latest"
    return Finding(max(differences) < SAME, measured, remedy)


def with_noise(batch: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """The batch with noise behind the samples, and a token behind the tokens, of each utterance."""
    batch, draw = dict(batch), torch.Generator().manual_seed(0)
    for name in ("speech", "prompt", "text", "phones"):
        if name in batch:
            values, lengths = (torch.as_tensor(batch[key]) for key in (name, f"{name}_lengths"))
            padding = torch.arange(values.size(1)) >= lengths.cpu()[:, None]
            noise = 0.1 * torch.randn(values.shape, generator=draw) if name == "speech" else torch.full(values.shape, 5)
            noisy = torch.where(padding.to(values.device), noise.to(values), values)
            batch[name] = noisy if isinstance(batch[name], torch.Tensor) else noisy.numpy()
    return batch


def check_learning_rate(context: Context) -> Finding:
    """At the highest rate of the schedule, an update changes the weights of each module neither much nor not at all."""
    with context.changing() as before:
        optimizer, parameters = context.optimizer(), list(context.trained.values())
        context.model.train()
        batch = context.batch()
        for _ in range(UPDATES):
            context.loss(batch)[0].backward()
            nn.utils.clip_grad_norm_(parameters, context.args.grad_clip)
            with scaled_rates(optimizer):
                optimizer.step()
            optimizer.zero_grad()
        sizes = {name: relative_change(context, before, name) for name in {key.split(".")[0]: 0 for key in before}}
    wrong = [size for size in sizes.values() if not LEAST <= size <= MOST]
    measured = ", ".join(f"{name} {size:.1e}" for name, size in sizes.items())
    lower = wrong and not wrong[0] < LEAST
    remedy = (
        f"{'lower' if lower else 'raise'} the learning rate (max_lr of scheduler_conf), or freeze what is not to learn"
    )
    return Finding(not wrong, f"size of an update as a share of the weights: {measured}", remedy)


def relative_change(context: Context, before: Dict[str, torch.Tensor], module: str) -> float:
    """Norm of what an update changes in a module, as a share of the norm of its weights."""
    pairs = [(context.trained[n].detach(), old) for n, old in before.items() if n.split(".")[0] == module]
    changed, size = (sum(float(x.square().sum()) for x in xs) ** 0.5 for xs in zip(*((n - o, o) for n, o in pairs)))
    return changed / max(size, 1e-9) / UPDATES


def check_frames(context: Context) -> Optional[Finding]:
    """Each training utterance has as many encoder frames as CTC needs for its labels."""
    if context.task is not PhonemeCTCTask:
        return None
    frames = context.num_frames()
    needed = {uid: min_frames(phones.split()) for uid, phones in context.table("phones", frames).items()}
    short = [uid for uid, count in needed.items() if context.model.encoder.output_lengths(frames[uid]) < count]
    measured = f"{len(short)} of {len(needed)} utterances have fewer frames than labels" + (
        f" ({short[0]})" if short else ""
    )
    return Finding(not short, measured, "their loss is infinite: make the data by stage 2, which drops them")


def check_masters(context: Context) -> Finding:
    """A trained weight of 1 moves under small updates; in bfloat16 and float16 they are rounded away."""
    ends = {str(dtype).removeprefix("torch."): steps(dtype) for dtype in context.dtypes}
    measured = ", ".join(f"{name}: 1,000 updates of 1e-4 move 1.0 to {end:.4g}" for name, end in ends.items())
    remedy = "train fp32 weights: leave out --train_dtype, and give --use_amp true for bfloat16"
    return Finding(all(abs(end - 0.9) < 1e-3 for end in ends.values()), measured, remedy)


def steps(dtype: torch.dtype) -> float:
    """1.0 after 1,000 updates by 1e-4 in a number format."""
    weight = torch.ones((), dtype=dtype)
    for _ in range(1000):
        weight -= 1e-4
    return float(weight)


def check_options_with_effect(context: Context) -> Finding:
    """Each option that is given changes something in this training."""
    idle = list(without_effect(context.args, context.defaults, context.model))
    return Finding(not idle, "; ".join(idle) or "each option has an effect", "leave them out, or give what they need")


def check_overfit(context: Context) -> Finding:
    """A few utterances can be learned by heart; where not even that works, more data do not help."""
    losses, enough = context.fit.losses, ENOUGH[context.task]
    measured = (
        f"loss {losses[0]:.2f} -> {losses[-1]:.2f} in {len(losses) - 1} updates on {len(context.rows)} utterances"
    )
    remedy = f"{enough} is expected: look for frozen or detached parts, wrong labels, audio that does not reach the LLM"
    return Finding(context.is_fit, measured, remedy)


def check_adaptor(context: Context) -> Optional[Finding]:
    """The loss is worse with other audio, and with silence. Measured once the utterances are known by heart."""
    if context.task is not LLMASRTask or not context.is_fit:
        return None
    with context.changing(context.fit.weights):
        right, *wrong = (context.value(context.batch(rows)) for rows in with_other_audio(of_one_length(context.rows)))
    measured = "loss {:.3f}, {:.3f} with audio of other utterances, {:.3f} with silence".format(right, *wrong)
    remedy = "the LLM does not hear the speech: check that the adaptor's output is put in the place of <speech>"
    return Finding(min(wrong) > WORSE * right, measured, remedy)


def with_other_audio(rows: Rows) -> Iterator[Rows]:
    """The utterances, then with each other's audio, and with silence."""
    speech, half = [data["speech"] for _, data in rows], len(rows) // 2
    for audio in (speech, speech[half:] + speech[:half], [0 * samples for samples in speech]):
        yield [(uid, {**data, "speech": samples}) for (uid, data), samples in zip(rows, audio)]


CHECKS: Dict[str, Callable[[Context], Optional[Finding]]] = {
    "options": check_options_with_effect,
    "masters": check_masters,
    "frames": check_frames,
    "prompt": check_prompt,
    "end token": check_end_token,
    "learning rate": check_learning_rate,
    "overfit": check_overfit,
    "padding": check_padding,
    "adaptor": check_adaptor,
}


def findings(context: Context) -> Iterator[Tuple[str, Finding]]:
    """The findings of the checks that apply, one after the other."""
    for name, check in CHECKS.items():
        finding = check(context)
        if finding is not None:
            yield name, finding
