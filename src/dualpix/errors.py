"""The errors this package raises on purpose: one sentence that says what was given, what is accepted and what to do."""


class DualpixError(Exception):
    """Anything a user can put right. The command line prints its text and exits non-zero, without a traceback."""


class PictureError(DualpixError):
    """A picture file cannot be read or written."""


class PairError(DualpixError):
    """Two pictures are not the two views of one dual-pixel photograph."""


class DataError(DualpixError):
    """A folder does not hold a data set in a layout that is known, or its pictures do not fit what is asked of them."""


class RecipeError(DualpixError):
    """A recipe, or a table entry it names, does not exist or has a field of the wrong kind."""


class CheckpointError(DualpixError):
    """A weights file is damaged, or holds the weights of another network."""


class MachineError(DualpixError):
    """The memory, precision or device that was asked for cannot be had here."""
