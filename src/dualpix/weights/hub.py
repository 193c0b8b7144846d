"""Weights by the name of a repository on the Hugging Face hub: `owner/name`, or `owner/name@revision`.

A repository is used only if it holds `model.safetensors`, in the form that `weights.checkpoint` writes; nothing else is
downloaded, and pickles are refused by name. Files lie in the cache of `huggingface_hub` (`HF_HOME`), which also decides
about being offline (`HF_HUB_OFFLINE=1`), the host (`HF_ENDPOINT`) and the token of private repositories.
"""

import os
import re
from pathlib import Path
from typing import Any

from dualpix.errors import CheckpointError, how_to_install, reason_of

FILE = "model.safetensors"
REPOSITORY = re.compile(r"([\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?")
"""`owner/name`, and after an @ a branch, tag or commit."""
OUR_KINDS = (".safetensors", ".onnx", ".xml", ".pt2")
"""Endings of files that are meant as files, there or not."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


def is_repository(text: str) -> bool:
    """Whether a text means a repository and no file: its form, where neither it nor its first part is in this folder.

    A mistyped path below a folder that exists is therefore never sent to another host.
    """
    if not REPOSITORY.fullmatch(text) or text.endswith(OUR_KINDS):
        return False
    return not Path(text).exists() and not Path(text.partition("/")[0]).exists()


def fetch(text: str, revision: str | None = None) -> Path:
    """The weights file of a repository, downloaded once and kept in the cache.

    Args:
        text: `owner/name` or `owner/name@revision`.
        revision: a branch, tag or commit, in place of one in `text`; without either the newest. The folder of the
            path that comes back is the commit, so that a result can name it.

    Raises:
        CheckpointError: without the extra `hub`; for a repository, revision or file that does not exist, one that
            needs a token, and if there is no network and no copy in the cache.
    """
    found = REPOSITORY.fullmatch(text)
    if found is None:
        raise CheckpointError(f"{text!r} is no repository; give owner/name, or owner/name@revision.")
    repository, wanted = found[1], revision or found[2]
    hub = _library()
    try:
        return Path(hub.hf_hub_download(repository, FILE, revision=wanted, library_name="dualpix"))
    except hub.errors.LocalEntryNotFoundError as error:
        raise CheckpointError(_not_reached(hub, repository, error)) from error
    except hub.errors.RevisionNotFoundError as error:
        raise CheckpointError(
            f"{repository} has no revision {wanted!r}; give a branch, tag or commit of it."
        ) from error
    except hub.errors.EntryNotFoundError as error:
        raise CheckpointError(_what_it_holds(hub, repository, wanted)) from error
    except hub.errors.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} asks for consent on the hub first; give it there, and log in with `hf auth login`."
        ) from error
    except hub.errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no file {repository} here and no such repository on {_host()}; compare the name, and log in with"
            " `hf auth login` if it is private."
        ) from error
    except (hub.errors.HfHubHTTPError, OSError, ValueError, *_transport_errors()) as error:
        raise CheckpointError(_refused(repository, error) or _failed(repository, error)) from error


def _library() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # Read when the library is loaded.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise CheckpointError(
            f"Weights by the name of a repository need huggingface_hub: {how_to_install('hub')}."
        ) from error
    return huggingface_hub


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the library's HTTP client raises, which changed with its versions."""
    for name in ("httpx2", "httpx"):
        try:
            return (__import__(name).HTTPError,)
        except ImportError:
            continue
    return ()


def _host() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rpartition("://")[2]


def _not_reached(hub: Any, repository: str, error: Exception) -> str:
    """Why a repository that is not in the cache is not fetched: asked to be offline, no network, a host's failure."""
    told = f"{repository} is not in the cache of the hub"
    if hub.constants.HF_HUB_OFFLINE:
        return f"{told}, and HF_HUB_OFFLINE is set; fetch it once without that, or give a file."
    if refused := _refused(repository, error.__cause__):
        return refused
    why = f" ({reason_of(error.__cause__)})" if error.__cause__ is not None else ""
    return f"{told} and cannot be fetched from {_host()}{why}; try again with a network, or give a file."


def _refused(repository: str, error: BaseException | None) -> str:
    """What to do where the host wants to know who asks; "" for any other answer, and for none."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status not in (401, 403):
        return ""
    return (
        f"{_host()} does not let you read {repository} ({status}); log in with `hf auth login` as somebody who may, or"
        " give a file."
    )


def _failed(repository: str, error: Exception) -> str:
    return f"{repository} cannot be fetched from {_host()} ({reason_of(error)}); try again, or give a file."


def _what_it_holds(hub: Any, repository: str, revision: str | None) -> str:
    """Why a repository without our file is of no use."""
    wanted = f"weights of dualpix lie in {FILE}, as `save_pretrained` writes it"
    try:
        files = [file.rfilename for file in hub.model_info(repository, revision=revision).siblings or ()]
    except (hub.errors.HfHubHTTPError, OSError, ValueError, *_transport_errors()):
        return f"{repository} holds no {FILE}; {wanted}."
    pickles = sorted(name for name in files if name.endswith(PICKLES))
    if pickles:
        return (
            f"{repository} holds no {FILE} but {pickles[0]}, and opening such a file can run any program hidden in it,"
            f" so it is not fetched; {wanted}."
        )
    return f"{repository} holds no {FILE}{' but ' + ', '.join(sorted(files)[:5]) if files else ''}; {wanted}."
