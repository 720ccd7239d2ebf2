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

"""A real OpenStack in a folder, for tests: Keystone, Glance, Placement, Nova,
Cinder and Neutron, from the Python packages, on 127.0.0.0/8, in some seconds.

Nothing of the services is replaced but their hardware: API, scheduler,
conductor, compute and volume managers, policies, databases (SQLite) are
theirs. No root, no broker, no database server, no agent, no hypervisor (but
see hypervisor.py)::

    with Cloud.start() as cloud:
        server = cloud.server(data_volumes=1)
        cloud.control(server.id, capture=2, fail='upload')
        cloud.connection('demo').compute.create_server_image(server, 'a')

    $ python -m xloudclient.tests.cloud start /tmp/cloud
    $ . /tmp/cloud/demo-openrc.sh; openstack server list

What a test gets beside the cloud itself:

orders       durations, failures and hangs in each phase of a snapshot, dead
             compute, silent services, HTTP faults; users of the API do not
             see them (``Cloud.control``, ``.fault``, ``.suspend`` ...)
a true log   when each disk was captured, frozen, thawed (``Cloud.events``),
             and each HTTP request (``Cloud.requests``)
guests       per server an sshd at the server's own address, port 2222, with
             MariaDB, PostgreSQL and Redis in it on demand (``Cloud.guest``)

How it goes. ``Cloud.start`` copies a *template*: the databases of a cloud
that was migrated and seeded once, cached under a hash of the versions and
sources it comes from. It then runs a *warden*, which forks a *keeper*, which
binds all ports, moves the copy to these addresses, imports what the services
share and forks them. The cloud lives as long as its owner: when the owner is
gone, even by SIGKILL, the warden kills all there is below it, the databases
in the guests included, and removes a temporary folder.

The modules, outside in::

    fixture.py        one cloud per test process, with clean-up
    cloud.py          Cloud: start, stop, connect
    orders.py         Cloud, continued: orders and logs
    resources.py      Cloud, continued: servers, volumes, images, guests
    __main__.py       the command
    template.py       the cache of seeded databases; copying a cloud
    keeper.py         warden and keeper: the cloud's life and end
    launch.py         the keeper's start of the services
    hypervisor.py     a libvirt daemon, if servers are to be real guests
    addressing.py     free ports and network; moving the databases to them
    migrate.py, neutron_schema.py, seed.py, configuration.py, etc/
                      from nothing to a seeded cloud
    control.py        orders and events, as files between the processes
    process.py        process trees
    layout.py         paths, ports, URLs, passwords
    service/          inside the service processes
    drivers/          the hardware: compute, volumes, ports
    guests/           the machines that play the servers

Not for anything but tests: fixed passwords, plain HTTP, cheap hashes. The
private parts of the services that this leans on are in service/; they can
move with a release of them.
"""

import typing

if typing.TYPE_CHECKING:
    from xloudclient.tests.cloud.cloud import Cloud as Cloud
    from xloudclient.tests.cloud.cloud import CloudError as CloudError


def __getattr__(name: str) -> typing.Any:
    # late, so that the cloud's own processes need not load the SDK
    if name in ('Cloud', 'CloudError'):
        from xloudclient.tests.cloud import cloud

        return getattr(cloud, name)
    raise AttributeError(name)
