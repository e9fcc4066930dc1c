"""Greedy labels of the CTC head: python -m espnet_llmasr.bin.phoneme_ctc_inference --ctc_train_config ..."""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.files import read_scp, write_scp
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.speech_batches import speech_batches


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--ctc_train_config", required=True, help="config.yaml of the pretraining")
    parser.add_argument("--ctc_model_file", required=True, help="weights (*.pth)")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--output_dir", type=Path, required=True, help="phones is written here")
    parser.add_argument("--max_frames", type=at_least(1), default=10000, help="padded frames per batch")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def main(argv=None):
    """Writes <output_dir>/phones."""
    args = get_parser().parse_args(argv)
    model, config = PhonemeCTCTask.load(args.ctc_train_config, args.ctc_model_file, args.device)
    frames = read_num_frames(args.data_dir / "utt2num_frames")
    batches = speech_batches(read_scp(args.data_dir / "wav.scp"), frames, args.max_frames, model.frontend.fs)
    phones = {}
    for uids, speech, lengths in batches:
        for uid, labels in zip(uids, model.transcribe(speech.to(args.device), lengths.to(args.device))):
            phones[uid] = " ".join(config.token_list[label] for label in labels)
    write_scp(args.output_dir / "phones", phones)


if __name__ == "__main__":
    run(main)
