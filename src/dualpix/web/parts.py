"""Which part of a result a request asks for."""

from dualpix.errors import RecipeError
from dualpix.inference.kept import parse_kept
from dualpix.web.http_errors import HttpError
from dualpix.web.job import DONE, Job
from dualpix.web.planes import PLANES

LONGEST = 50  # letters


def kept_of(keep: str | None, job: Job) -> str | None:
    """Return what is to keep its blur, if anything.

    Raises:
        HttpError: 400 if it cannot be understood, 409 if the weights gave no disparity.
    """
    if keep is None:
        return None
    try:
        parse_kept(keep[:LONGEST])
    except RecipeError as error:
        raise HttpError(400, str(error)) from None
    if job.state == DONE and not (job.upload.folder / PLANES).exists():
        raise HttpError(409, "These weights give no disparity, so no part of the picture can be chosen by it.")
    return keep[:LONGEST]
