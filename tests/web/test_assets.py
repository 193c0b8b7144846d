"""The page's files are complete by themselves, for this server and for a static folder."""

import re
from importlib import resources

from dualpix.web.assets import page_files


def test_files_are_filled_in_and_need_nothing_inline() -> None:
    for back_end in ("server", "local"):
        files = {path: (kind, content) for path, kind, content in page_files(back_end)}
        page = files["index.html"][1].decode()
        assert f'data-backend="{back_end}"' in page
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
        assert all(b"{{" not in content for kind, content in files.values() if kind != "image/png")
        named = set(re.findall(r'(?:href|src)="([\w./-]+)"', page)) - {"./"}
        scripts = [path for path in files if path.endswith(".js")]
        named |= {name for path in scripts for name in re.findall(r'from "\./([^"]+)"', files[path][1].decode())}
        named |= set(re.findall(r'"(sample/[^"]+)"', files["intake.js"][1].decode()))
        assert named <= set(files) and "server.js" in files
        assert all(len(files[path][1].decode().splitlines()) < 250 for path in scripts)


def test_the_sample_is_the_pair_of_the_package() -> None:
    files = {path: content for path, _, content in page_files()}
    for side in ("left", "right"):
        assert files[f"sample/{side}.png"] == (resources.files("dualpix") / "demo_pair" / f"{side}.png").read_bytes()
