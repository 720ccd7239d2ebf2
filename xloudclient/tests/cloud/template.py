#  Licensed under the Apache License, Version 2.0 (the "License"); you may
#  not use this file except in compliance with the License. You may obtain
#  a copy of the License at
#
#       http://www.apache.org/licenses/LICENSE-2.0
#
#  Unless required by applicable law or agreed to in writing, software
#  distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#  WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#  License for the specific language governing permissions and limitations
#  under the License.

"""The cache of filled databases, so that only the first start is slow.

A template is the folder of a cloud that was started from nothing and stopped.
It is named by a hash of all that goes into it, so it is never out of date;
and it moves into place complete or not at all.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import shutil
from collections.abc import Callable, Iterator

from xloudclient.tests.cloud import layout
from xloudclient.tests.cloud.drivers import disks

DISTRIBUTIONS = (
    'keystone',
    'glance',
    'openstack-placement',
    'nova',
    'cinder',
    'neutron',
    'SQLAlchemy',
    'oslo.db',
    'alembic',
)
SOURCES = (
    'layout.py',
    'configuration.py',
    'migrate.py',
    'seed.py',
    'neutron_schema.py',
    'etc/*',
)
PARTS = ('db', 'keystone', 'glance/images', 'nova', 'cinder/files', 'guests')
FILES = ('addresses.json', 'seeded')
Build = Callable[[pathlib.Path], None]


def ensure(build: Build) -> layout.Layout:
    """Return the template, which is built now if it is not there.

    :param build: makes a stopped, seeded cloud in a folder
    """
    place = cache() / _key()
    if not place.exists():
        with _alone(place):
            if not place.exists():
                _build(place, build)
    return layout.Layout.of(place)


def clone(source: layout.Layout, target: layout.Layout) -> None:
    """Copy a stopped cloud; its next start moves it to its own addresses.

    :raises FileExistsError: the target holds a cloud already
    """
    if target.is_seeded:
        raise FileExistsError(f'{target.state} is a cloud already')
    target.make_folders()
    for name in PARTS:
        shutil.copytree(
            source.path(name),
            target.path(name),
            symlinks=True,
            ignore=_special,
            copy_function=_copy,
            dirs_exist_ok=True,
        )
    for name in FILES:
        shutil.copy2(source.path(name), target.path(name))


def _special(folder: str, names: list[str]) -> list[str]:
    # sockets of databases in guests
    return [
        name
        for name in names
        if not os.path.isdir(os.path.join(folder, name))
        and not os.path.isfile(os.path.join(folder, name))
    ]


def _copy(source: str, target: str) -> None:
    # volumes are all holes
    disks.copy_sparse(pathlib.Path(source), pathlib.Path(target))
    shutil.copymode(source, target)


def _build(place: pathlib.Path, build: Build) -> None:
    fresh = place.with_suffix('.new')
    # of a builder that was killed
    shutil.rmtree(fresh, ignore_errors=True)
    build(fresh)
    os.rename(fresh, place)


@contextlib.contextmanager
def _alone(place: pathlib.Path) -> Iterator[None]:
    """Wait until no other process builds this template."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f'{place}.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cache() -> pathlib.Path:
    own = os.environ.get('XLOUDCLIENT_CLOUD_CACHE')
    if own:
        return pathlib.Path(own).absolute()
    shared = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return pathlib.Path(shared, 'xloudclient', 'cloud').expanduser()


def _key() -> str:
    digest = hashlib.sha256(platform.python_version().encode())
    for name in DISTRIBUTIONS:
        digest.update(f'{name} {importlib.metadata.version(name)}\n'.encode())
    here = pathlib.Path(__file__).parent
    for pattern in SOURCES:
        for path in sorted(here.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
