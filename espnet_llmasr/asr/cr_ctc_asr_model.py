"""CR-CTC for stock ESPnet ASR recipes (--model cr_ctc), with any frontend, SpecAugment and encoder.

B batch, N samples, U labels.
"""

from typing import Dict, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_llmasr.asr.cr_ctc import consistency_weight, cr_ctc_loss


class CRCTCASRModel(ESPnetASRModel):
    """ESPnet's CTC model whose training loss is CR-CTC (arXiv 2410.05101) over two augmented views of each utterance.

    Both terms are divided by the number of utterances, as ESPnet does with CTC. Validation and decoding are ESPnet's.

    Args:
        cr_scale: weight of the consistency term against CTC. cr_warmup_batches: batches over which it rises linearly.
    Raises:
        ValueError: ctc_weight is not 1 (there is no decoder to share the loss with).
    """

    def __init__(self, *args, cr_scale: float = 0.2, cr_warmup_batches: int = 2000, **kwargs):
        super().__init__(*args, **kwargs)
        if self.ctc_weight != 1.0:
            raise ValueError(f"--model cr_ctc has ctc_weight={self.ctc_weight}, allowed is 1.0: set it in model_conf")
        self.cr_scale, self.cr_warmup_batches = cr_scale, cr_warmup_batches
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """speech (B, N), text (B, U) with lengths (B,) -> loss per utterance, statistics, number of utterances."""
        if not self.training:
            return super().forward(speech, speech_lengths, text, text_lengths, **kwargs)
        frames, lengths = self.encode(torch.cat([speech, speech]), speech_lengths.repeat(2))
        weight = consistency_weight(int(self.num_batches), self.cr_warmup_batches, self.cr_scale)
        self.num_batches += 1
        terms = cr_ctc_loss(self.ctc.log_softmax(frames).float(), lengths, text, text_lengths, weight)
        ctc, consistency = (term / len(speech) for term in terms)
        stats = {"loss": (ctc + consistency).detach(), "loss_ctc": ctc.detach(), "loss_cr": consistency.detach()}
        return force_gatherable((ctc + consistency, stats, len(speech)), ctc.device)
