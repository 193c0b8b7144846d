"""Files on a server with SSH, as the command `ssh` reaches it: its settings, its keys, and only servers it knows."""

import errno
import functools
from pathlib import Path
from typing import Any

TIMEOUT_S = 30.0


@functools.cache
def file_system() -> Any:
    """The class of fsspec for SFTP, which by itself believes every server and reads no settings.

    Raises:
        ImportError: The package paramiko is not installed.
    """
    import paramiko
    from fsspec.implementations.sftp import SFTPFileSystem

    class OnlyKnown(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            raise PermissionError(
                errno.EACCES, f"{hostname} is none of the known hosts; connect once by `ssh`, which asks about its key"
            )

    class KnownServer(SFTPFileSystem):  # type: ignore[misc]
        protocol = ("sftp", "ssh")

        def _connect(self) -> None:
            path = Path("~/.ssh/config").expanduser()
            told = paramiko.SSHConfig.from_path(str(path)).lookup(self.host) if path.is_file() else {}
            known = {
                "port": int(told.get("port", 22)),
                "username": told.get("user"),
                "key_filename": told.get("identityfile"),
                "timeout": TIMEOUT_S,
                **self.ssh_kwargs,
            }
            self.client = paramiko.SSHClient()
            self.client.load_system_host_keys()
            self.client.set_missing_host_key_policy(OnlyKnown())
            self.client.connect(told.get("hostname", self.host), **known)
            self.ftp = self.client.open_sftp()

    return KnownServer
