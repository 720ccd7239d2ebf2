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

"""The guests' disk image: a small Debian 12 with its kernel, built once.

``mmdebstrap`` fetches the packages, ``guest/configure`` makes a guest of
them. The disk has no partitions and no boot loader: QEMU gets kernel and
initial RAM disk, which Nova takes from Glance as well.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from xloudclient.tests.cloud import template

FILES = pathlib.Path(__file__).with_name('guest')
SUITE = 'bookworm'
ARCHIVE = 'http://deb.debian.org/debian'
KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
GIBIBYTES = 2
#: What is in a guest beside what Debian calls required.
PACKAGES = (
    'busybox-static',
    'dbus',
    'e2fsck-static',
    'e2fsprogs',
    'iproute2',
    'kmod',
    'libpam-systemd',
    'mariadb-server',
    'openssh-server',
    'postgresql-15',
    'procps',
    'python3-minimal',
    'python3-psycopg2',
    'python3-pymysql',
    'python3-redis',
    'qemu-guest-agent',
    'redis-server',
    'systemd',
    'udev',
    'xfsprogs',
)
#: What is left out of all packages: nobody reads it there.
UNREAD = ('doc', 'man', 'info', 'locale')
#: Files that make a difference only once a guest runs.
LATE = ('*.py',)


class ImageError(Exception):
    """The image can't be built; the message ends with the tool's output."""


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """A folder with all that a guest is started from."""

    folder: pathlib.Path

    @property
    def disk(self) -> pathlib.Path:
        """The root disk, a compressed qcow2."""
        return self.folder / 'disk.qcow2'

    @property
    def kernel(self) -> pathlib.Path:
        return self.folder / 'vmlinuz'

    @property
    def ramdisk(self) -> pathlib.Path:
        return self.folder / 'initrd.img'

    @property
    def identity(self) -> pathlib.Path:
        """The private key that opens the guests, as root."""
        return self.folder / 'user'

    @property
    def known_hosts(self) -> pathlib.Path:
        """All guests have the same host key."""
        return self.folder / 'known_hosts'


def ensure() -> Image:
    """Return the image, which is built now if it is not in the cache.

    :raises ImageError: it can't be built
    """
    place = template.cache() / f'guest-{_key()}'
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f'{place}.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            print(
                'e2e: building the guest image, once, some minutes ...',
                file=sys.stderr,
                flush=True,
            )
            with _fresh(place) as folder:
                _build(folder)
    return Image(place)


@contextlib.contextmanager
def _fresh(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder that moves into place complete or not at all."""
    fresh = place.with_name(place.name + '.new')
    # of a builder that was killed
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    yield fresh
    fresh.rename(place)


def _key() -> str:
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    late = {path for pattern in LATE for path in FILES.glob(pattern)}
    for path in sorted(set(FILES.glob('*')) - late):
        digest.update(path.read_bytes() if path.is_file() else b'')
    return digest.hexdigest()[:16]


def _build(folder: pathlib.Path) -> None:
    for name in ('user', 'host'):
        _run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name,
             '-f', folder / name)  # fmt: skip
    public = (folder / 'host.pub').read_text()
    (folder / 'known_hosts').write_text(f'* {public}')
    with tempfile.TemporaryDirectory(
        prefix='build-', dir=folder, ignore_cleanup_errors=True
    ) as work:
        root = pathlib.Path(work, 'root')
        _run(*_debootstrap(root, folder))
        _make_disk(root, pathlib.Path(work, 'disk.raw'), folder)


def _debootstrap(root: pathlib.Path, folder: pathlib.Path) -> list[object]:
    configure = [FILES / 'configure', '"$1"', FILES, folder, folder]
    unread = [f'/usr/share/{name}/*' for name in UNREAD]
    return [
        # mmdebstrap mounts the system's /proc, /sys and /dev below the root:
        # if it is killed they must not stay there, where we remove all
        *('unshare', '--mount', '--propagation', 'private'),
        *('--pid', '--fork', '--kill-child', '--mount-proc'),
        *('mmdebstrap', '--quiet', '--mode=root', '--variant=minbase'),
        '--include=' + ','.join(PACKAGES),
        f'--keyring={KEYRING}',
        # a build that is interrupted is thrown away
        '--dpkgopt=force-unsafe-io',
        *(f'--dpkgopt=path-exclude={one}' for one in unread),
        '--customize-hook=sh ' + ' '.join(map(str, configure)),
        *(SUITE, root, ARCHIVE),
    ]


def _make_disk(
    root: pathlib.Path, raw: pathlib.Path, folder: pathlib.Path
) -> None:
    with open(raw, 'wb') as file:
        file.truncate(GIBIBYTES << 30)
    # nothing is left to be written later, when it would be in each snapshot
    lazy = 'lazy_itable_init=0,lazy_journal_init=0'
    _run('mkfs.ext4', '-q', '-F', '-L', 'root', '-E', lazy, '-d', root, raw)
    disk = Image(folder).disk
    _run('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, disk)


def _run(*argv: object) -> None:
    path = f'{os.environ["PATH"]}:/usr/sbin:/sbin'
    done = subprocess.run(
        [str(one) for one in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        check=False,
        env={**os.environ, 'PATH': path, 'LC_ALL': 'C.UTF-8'},
    )
    if done.returncode:
        raise ImageError(f'{argv[0]} failed:\n{done.stdout[-3000:]}')
