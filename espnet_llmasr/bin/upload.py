"""Sends a packed model to the Hugging Face Hub; the token comes from the environment (HF_TOKEN)."""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.zoo.upload import listing, upload


def main(argv=None) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("pack", type=Path, help="folder of bin.pack")
    parser.add_argument("repo", help="user/model")
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    parser.add_argument("--dry_run", action="store_true", help="print every file and its size, and send nothing")
    args = parser.parse_args(argv)
    print(listing(args.pack) if args.dry_run else upload(args.pack, args.repo, args.private) + "\n", end="")


if __name__ == "__main__":
    run(main)
