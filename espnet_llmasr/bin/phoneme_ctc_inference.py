"""Greedy labels of the CTC head: python -m espnet_llmasr.bin.phoneme_ctc_inference --ctc_train_config ..."""

from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, run
from espnet_llmasr.files import write_scp
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.speech_batches import SpeechSet


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--output_dir", type=Path, required=True, help="phones is written here")
    add_ctc_options(parser)
    return parser


def main(argv=None):
    """Writes <output_dir>/phones."""
    args = get_parser().parse_args(argv)
    model, config = PhonemeCTCTask.load(args.ctc_train_config, args.ctc_model_file, args.device)
    phones = {}
    for uids, speech, lengths in SpeechSet(args.data_dir).batches(args.max_frames, model.frontend.fs):
        for uid, labels in zip(uids, model.transcribe(speech.to(args.device), lengths)):
            phones[uid] = " ".join(config.token_list[label] for label in labels)
    write_scp(args.output_dir / "phones", phones)


if __name__ == "__main__":
    run(main)
