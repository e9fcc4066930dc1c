"""Packs a trained model into a folder and a zip that Speech2Text.from_pretrained loads: docs/model_zoo.md."""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.zoo.card import UNKNOWN, Facts, write_card
from espnet_llmasr.zoo.pack import Parts, pack


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--llm_asr_train_config", type=Path, required=True, help="config.yaml of the training")
    add("--llm_asr_model_file", type=Path, required=True, help="its weights (*.pth)")
    add("--ctc_train_config", type=Path, help="of the guard: config.yaml of the CTC head")
    add("--ctc_model_file", type=Path, help="of the guard: weights of the CTC head, with guard.json beside")
    add("--out", type=Path, required=True, help="folder to write; OUT.zip is the same as one file")
    pages = "files to add: RESULTS.md, ROBUSTNESS.md, a licence"
    add("--pages", type=Path, nargs="*", action="extend", default=[], help=pages)
    card = parser.add_argument_group("model card").add_argument
    card("--name", help="of the model, such as user/model on the Hub (default: the name of OUT)")
    card("--license", default=UNKNOWN, help="such as apache-2.0; that of the LLM binds, too")
    card("--languages", nargs="*", default=[], help="such as zh en")
    card("--base_model", help="the released LLM, its name on the Hub")
    card("--data", type=Path, nargs="*", default=[], help="dump directories of the training data")
    card("--scores", type=Path, help="scores.json of bin.score (stage 12)")
    card("--decoding", default="", help="options by which their transcripts were decoded")
    card("--robustness", type=Path, help="folder of stage 13, for hallucinations on clips without speech")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    parts = Parts(
        args.llm_asr_train_config, args.llm_asr_model_file, args.ctc_train_config, args.ctc_model_file, args.pages
    )
    about = Facts(args.name or args.out.name, args.license, args.languages, args.base_model)
    about.data, about.scores, about.robustness = args.data, args.scores, args.robustness
    about.guarded, about.decoding = args.ctc_model_file is not None, args.decoding
    print(pack(parts, args.out, write_card(about, args.llm_asr_train_config)))


if __name__ == "__main__":
    run(main)
