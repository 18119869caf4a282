"""Opening the room costs nothing; what it hands on is there."""

import subprocess
import sys

import oceankit.products as products


def test_importing_the_room_loads_no_plotting():
    code = (
        "import sys, oceankit.products as p; [getattr(p, n) for n in p.__all__]; "
        "heavy = [m for m in ('matplotlib', 'cartopy', 'cmocean', 'shapely', 'pyproj') if m in sys.modules]; "
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_public_names_are_documented():
    for name in products.__all__:
        assert getattr(products, name).__doc__
