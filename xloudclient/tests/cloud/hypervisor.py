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

"""A libvirt daemon of the cloud's own, for real guests (QEMU).

It runs in namespaces of its own, where the folders that libvirt has in the
system are the cloud's (``STATE/hypervisor/``) and the machine is called as
Nova calls its host. So no file of the system is changed, not even for a
while (but empty folders, if libvirt was installed without its service);
other libvirt daemons are not met; and nothing of it is left when its
processes are gone. They go together, the guests included.
"""

import os
import pathlib
import shutil
import subprocess
import time

from xloudclient.tests.cloud import layout

#: What libvirt uses, and the folder that is there instead.
FOLDERS = {
    '/etc/libvirt': 'etc',
    '/run/libvirt': 'run',
    '/var/cache/libvirt': 'cache',
    '/var/lib/libvirt': 'lib',
    '/var/log/libvirt': 'log',
}
SECONDS = 60
# As root: with Debian's user, a /dev/kvm of root alone makes libvirt ask QEMU
# for its capabilities at each step, a minute in all. No virtlogd, and nothing
# of systemd or a security module is needed.
QEMU = """
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
# The log has when each guest agent was told to freeze and to thaw.
LIBVIRTD = """
auth_unix_ro = "none"
auth_unix_rw = "none"
log_filters = "1:qemu.qemu_agent 4:util"
log_outputs = "1:file:{folder}/log/libvirtd.log"
"""
# $0 is the hypervisor's folder; the arguments are pairs. The shell is the
# namespace's init: it collects what libvirt kills, which libvirt waits for.
IN_NAMESPACE = """
folder=$0
echo compute1 >/proc/sys/kernel/hostname
for name in passwd group; do
    mount --bind "$folder/$name" "/etc/$name"
done
while [ $# -gt 0 ]; do
    mkdir -p "$1"
    mount --bind "$folder/$2" "$1"
    shift 2
done
libvirtd --config "$folder/libvirtd.conf" --pid-file "$folder/pid" &
wait
"""
# libvirt looks these up at its start, whatever its configuration says then;
# on Debian it is the package of its service that adds them.
ACCOUNTS = {
    'passwd': {'libvirt-qemu': '*:64055:64055::/nonexistent:/bin/false'},
    'group': {'libvirt-qemu': '*:64055:', 'kvm': '*:64056:'},
}
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def uri(where: layout.Layout) -> str:
    """Return what virsh gets with ``--connect``."""
    return f'qemu+unix:///system?socket={_socket(where)}'


def log(where: layout.Layout) -> pathlib.Path:
    """Return libvirt's log."""
    return where.path('hypervisor', 'log', 'libvirtd.log')


def missing() -> str:
    """Say in a sentence what keeps guests from being run here; or ''."""
    if os.geteuid():
        return 'Real guests need root: libvirt gets folders of its own.'
    absent = [
        name
        for name in ('libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img')
        if not shutil.which(name, path=PATH)
    ]
    if absent:
        return f'Real guests need these programs: {", ".join(absent)}.'
    return ''


def start(where: layout.Layout) -> None:
    """Start the daemon below this process; return once it answers.

    :raises RuntimeError: it can't be started; its output is in the text
    """
    if reason := missing():
        raise RuntimeError(reason)
    folder = where.path('hypervisor')
    for name in FOLDERS.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'etc' / 'qemu.conf').write_text(QEMU)
    _write_accounts(folder)
    (folder / 'libvirtd.conf').write_text(LIBVIRTD.format(folder=folder))
    pairs = [word for pair in FOLDERS.items() for word in pair]
    with open(where.log / 'libvirtd.out', 'w') as out:
        daemon = subprocess.Popen(
            [
                *('unshare', '--uts', '--mount', '--propagation', 'private'),
                *('--pid', '--fork', '--kill-child', '--mount-proc'),
                *('sh', '-euc', IN_NAMESPACE, str(folder), *pairs),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={'PATH': PATH, 'LC_ALL': 'C'},
        )
    _await(where, daemon)


def _write_accounts(folder: pathlib.Path) -> None:
    """Write the system's accounts, and those that libvirt misses there."""
    for name, wanted in ACCOUNTS.items():
        lines = pathlib.Path('/etc', name).read_text().splitlines()
        known = {line.partition(':')[0] for line in lines}
        lines += [
            f'{account}:{rest}'
            for account, rest in wanted.items()
            if account not in known
        ]
        (folder / name).write_text('\n'.join(lines) + '\n')


def _await(where: layout.Layout, daemon: 'subprocess.Popen[bytes]') -> None:
    end = time.monotonic() + SECONDS
    while not _answers(where):
        if daemon.poll() is not None or time.monotonic() > end:
            said = (where.log / 'libvirtd.out').read_text()[-2000:]
            raise RuntimeError(f'libvirtd does not answer:\n{said}')
        time.sleep(0.1)


def _answers(where: layout.Layout) -> bool:
    if not _socket(where).exists():
        return False
    asked = subprocess.run(
        ['virsh', '--quiet', '--connect', uri(where), 'uri'],
        capture_output=True,
        check=False,
    )
    return not asked.returncode


def _socket(where: layout.Layout) -> pathlib.Path:
    return where.path('hypervisor', 'run', 'libvirt-sock')
