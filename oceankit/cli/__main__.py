"""``python -m oceankit.cli``: the command without its script."""

from oceankit.cli import main

if __name__ == "__main__":
    main(prog_name="oceankit")
