"""CR-CTC for stock ESPnet ASR recipes (--model cr_ctc), with any frontend, SpecAugment and encoder.

B utterances, N samples, U labels, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

import logging
from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from espnet2.torch_utils.device_funcs import force_gatherable
from torch import Tensor

from espnet_llmasr.asr.cr_ctc import consistency_weight, cr_ctc_loss, enough_frames
from espnet_llmasr.espnet_versions import quiet_imports

with quiet_imports():
    from espnet2.asr.espnet_model import ESPnetASRModel, autocast_type


class CRCTCASRModel(ESPnetASRModel):
    """ESPnet's CTC model whose training loss is CR-CTC (arXiv 2410.05101) over two augmented views of each utterance.

    Both terms are divided by the number of utterances, as ESPnet does with CTC. As with ESPnet's zero_infinity, an
    utterance with fewer encoder frames than CTC needs for its text adds nothing; the statistic `too_short` is the share
    of such utterances. SpecAug warps time once, before the views part: the consistency compares frames of the same
    time. Validation and decoding are ESPnet's.

    Args:
        cr_scale: weight of the consistency term against CTC. cr_warmup_batches: batches over which it rises linearly.
    Raises:
        ValueError: an option of model_conf or ctc_conf asks for another loss.
    """

    def __init__(self, *args, cr_scale: float = 0.2, cr_warmup_batches: int = 2000, **kwargs):
        super().__init__(*args, **kwargs)
        self._refuse_other_losses()
        self.cr_scale, self.cr_warmup_batches = cr_scale, cr_warmup_batches
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))
        self.time_warp = getattr(self.specaug, "time_warp", None)
        if self.time_warp is not None:
            self.specaug.time_warp = None  # SpecAug.forward then skips it; `two_views` calls it
        self._told_too_short = False

    def _refuse_other_losses(self) -> None:
        """There is no decoder to share the loss with, and ctc_conf offers losses that have no second view."""
        options = [
            ("model_conf", "ctc_weight", self.ctc_weight, 1.0),
            ("model_conf", "interctc_weight", self.interctc_weight, 0.0),
        ]
        if self.ctc is not None:  # None with ctc_weight 0
            options += [
                ("ctc_conf", "ctc_type", self.ctc.ctc_type, "builtin"),
                ("ctc_conf", "reduce", self.ctc.reduce, True),
                ("ctc_conf", "zero_infinity", getattr(self.ctc.ctc_loss, "zero_infinity", True), True),
            ]
        for conf, name, found, allowed in options:
            if found != allowed:
                raise ValueError(f"--model cr_ctc has {name}={found}, allowed is {allowed}: set it in {conf}")
        if self.use_transducer_decoder:
            raise ValueError("--model cr_ctc has a transducer decoder, allowed is none: remove decoder: transducer")

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, text: Tensor, text_lengths: Tensor, **kwargs
    ) -> Tuple[Tensor, Dict[str, Tensor], Tensor]:
        """speech (B, N), text (B, U) with lengths (B,) -> loss per utterance, statistics, number of utterances."""
        if not self.training:
            return super().forward(speech, speech_lengths, text, text_lengths, **kwargs)
        frames, lengths = self.two_views(speech, speech_lengths)
        frames = F.dropout(frames, self.ctc.dropout_rate)
        weight = consistency_weight(self.num_batches, self.cr_warmup_batches, self.cr_scale)
        self.num_batches += 1
        log_probs, usable = (
            self.ctc.log_softmax(frames).float(),
            enough_frames(lengths[: len(text)], text, text_lengths),
        )
        terms = self._sums_over(usable, log_probs, lengths, text, text_lengths, weight)
        ctc, consistency = (term / len(speech) for term in terms)
        stats = {"loss": (ctc + consistency).detach(), "loss_ctc": ctc.detach(), "loss_cr": consistency.detach()}
        stats["too_short"] = 1 - usable.float().mean()
        return force_gatherable((ctc + consistency, stats, len(speech)), ctc.device)

    def two_views(self, speech: Tensor, speech_lengths: Tensor) -> Tuple[Tensor, Tensor]:
        """(B, N), (B,) -> encoder frames (2B, S, D), lengths (2B,): the first views of all utterances, then the second.

        Features are computed once. Time warping, if SpecAug has it, is drawn once for both views.
        """
        with torch.autocast(speech.device.type, dtype=autocast_type, enabled=self.autocast_frontend):  # as in encode()
            feats, lengths = self._extract_feats(speech, speech_lengths)
            if self.time_warp is not None:
                feats, lengths = self.time_warp(feats, lengths)
        frontend, self.frontend = self.frontend, None  # encode() of a model without frontend takes features
        try:
            frames, lengths = self.encode(torch.cat([feats, feats]), lengths.repeat(2))
        finally:
            self.frontend = frontend
        return (frames[0] if isinstance(frames, tuple) else frames), lengths  # a tuple has layers for InterCTC, too

    def _sums_over(self, usable: Tensor, log_probs, lengths, text, text_lengths, weight) -> Tuple[Tensor, Tensor]:
        """`cr_ctc_loss` over the usable utterances (B,); without any, zeros that still reach every parameter."""
        if usable.all():
            return cr_ctc_loss(log_probs, lengths, text, text_lengths, weight)
        if not self._told_too_short:
            self._told_too_short = True
            logging.warning(
                "%d of %d utterances of a batch have fewer encoder frames than CTC needs for their text: they add nothing "
                "to the loss. This is said once; the statistic too_short is the share of such utterances",
                (~usable).sum(),
                len(usable),
            )
        if not usable.any():
            return log_probs.sum() * 0.0, torch.zeros_like(log_probs.sum())
        both = usable.repeat(2)
        return cr_ctc_loss(log_probs[both], lengths[both], text[usable], text_lengths[usable], weight)
