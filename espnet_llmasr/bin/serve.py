"""Serves a model: python -m espnet_llmasr.bin.serve PACK; OpenAI's transcriptions, a page, /health and /metrics.

Keys are in the environment variable LLMASR_API_KEYS, divided by commas.
"""

from espnet_llmasr.cli import Parser, at_least, between, device, run


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("model", help="packed model: see Speech2Text.from_pretrained")
    add("--name", help="of the model in requests; the last part of MODEL by default")
    add("--host", default="127.0.0.1", help="0.0.0.0 for all addresses of this machine")
    add("--port", type=at_least(0), default=8000, help="0 for a free one, which the log names")
    add("--guard", help="off, flag (default with a CTC head), or redecode")
    add("--beam_size", type=at_least(1), default=3, help="beams")
    add("--batch_size", type=at_least(1), default=16, help="most pieces that are decoded together")
    add("--max_frames", type=at_least(1), default=10000, help="most padded 10 ms frames of them (memory)")
    add("--longest_s", type=at_least(1), default=20, help="longer recordings are cut at silences")
    add("--pause_s", type=between(0.1), default=0.4, help="silence in them that ends a piece")
    add("--max_bytes", type=at_least(1), default=200_000_000, help="of a request")
    add("--max_seconds", type=at_least(1), default=10800, help="of a recording")
    add("--max_waiting", type=at_least(1), default=256, help="requests at a time; more are told to come later (429)")
    add("--cors_origin", help="the one other site whose pages may ask, such as https://a.example")
    add("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    from espnet_llmasr.inference.speech2text import Speech2Text

    try:
        from espnet_llmasr.serve.app import Options
        from espnet_llmasr.serve.batcher import Batcher
        from espnet_llmasr.serve.gate import read_keys
        from espnet_llmasr.serve.server import bind, serve
    except ModuleNotFoundError as error:
        raise ValueError(f"the server needs {error.name}, which is missing: pip install -e .[serve]") from error

    name = args.name or args.model.rstrip("/").rpartition("/")[2].removesuffix(".zip")
    limits = args.max_bytes, args.max_seconds, args.max_waiting
    options = Options(name, *limits, read_keys(), args.cors_origin)
    with bind(args.host, args.port) as listener:
        model = Speech2Text.from_pretrained(args.model, device=args.device, beam_size=args.beam_size, guard=args.guard)
        batcher = Batcher(model, args.batch_size, args.max_frames, args.longest_s, args.pause_s)
        serve(listener, batcher, options)


if __name__ == "__main__":
    run(main)
