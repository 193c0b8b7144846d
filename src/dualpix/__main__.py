"""`python -m dualpix`, the same as the command `dualpix`; also what `torchrun -m dualpix train ...` starts."""

from dualpix.cli import main

if __name__ == "__main__":
    main()
