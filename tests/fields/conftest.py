"""What several tests of the store need."""

import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB, which a test may make read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small file system can be mounted here by no user but root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
