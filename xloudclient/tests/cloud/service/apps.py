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

"""Bring up each real service in this process, without its own launcher.

Each function is what the service's console script and WSGI module do, minus
eventlet, sudo and agents, and ends with ``serve(application, name)``.
"""

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from typing import Any

from xloudclient.tests.cloud import control, layout

Serve = Callable[[Any, str], None]
#: The module in drivers/ of each of layout.DRIVERS.
DRIVERS = {'embedded': 'compute', 'libvirt': 'libvirt'}
_running: list[Any] = []  # else the services would be collected


def keystone(where: layout.Layout, serve: Serve) -> None:
    """Serve Keystone."""
    os.environ['OS_KEYSTONE_CONFIG_FILES'] = str(
        where.path('etc', 'keystone.conf')
    )
    sys.argv = ['keystone']
    from keystone.wsgi import api

    serve(api.application, 'keystone')


def glance(where: layout.Layout, serve: Serve) -> None:
    """Serve Glance.

    A snapshot in ``direct`` mode is added as a location, as Nova does with
    RBD.  Glance refuses file:// there, since for it files are its own host's
    secrets; here these files are all there is.
    """
    os.environ['OS_GLANCE_CONFIG_DIR'] = str(where.path('etc'))
    sys.argv = ['glance-api']
    from glance.common import store_utils

    store_utils.RESTRICTED_URI_SCHEMAS -= {'file'}
    from glance.wsgi import api

    serve(_limited(api.application, control.Control(where)), 'glance')


def _limited(application: Any, orders: control.Control) -> Any:
    """Have Glance ask Keystone for its limits only while that is ordered.

    Asking takes half a second per image, which most tests have no use for.
    """
    from oslo_config import cfg

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        settings = orders.settings('images', control.ALL)
        is_limited = settings.get('limited', False)
        cfg.CONF.set_override('use_keystone_limits', is_limited)
        return application(environ, start_response)

    return answer


def nova(where: layout.Layout, serve: Serve) -> None:
    """Serve Placement and Nova: API, conductor, scheduler and compute."""
    os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = '1'
    from nova import monkey_patch

    monkey_patch.patch(backend='threading')
    _placement(where, serve)
    _configure_nova(where)
    _start_nova('nova-conductor', 'nova.conductor.rpcapi')
    _start_nova('nova-scheduler', 'nova.scheduler.rpcapi')
    from paste import deploy

    application = deploy.loadapp(
        f'config:{where.path("etc", "nova-paste.ini")}', name='osapi_compute'
    )
    _start_nova('nova-compute', 'nova.compute.rpcapi')
    from nova import context
    from nova.objects import host_mapping

    host_mapping.discover_hosts(context.get_admin_context())
    serve(application, 'nova')


def _placement(where: layout.Layout, serve: Serve) -> None:
    os.environ['OS_PLACEMENT_CONFIG_DIR'] = str(where.path('etc'))
    sys.argv = ['placement']
    from placement.wsgi import api

    serve(api.application, 'placement')


def _configure_nova(where: layout.Layout) -> None:
    # parsed with its own argv: with Placement's, it read Placement's options
    sys.argv = ['nova', *_configuration(where, 'nova')]
    import nova.conf
    import os_brick
    import os_vif
    from nova import config, objects
    from nova.api.openstack import wsgi_app
    from oslo_log import log
    from oslo_privsep import priv_context
    from oslo_service import opts

    # Nova looks for drivers below nova.virt only
    sys.modules['nova.virt.embedded'] = importlib.import_module(
        f'xloudclient.tests.cloud.drivers.{DRIVERS[where.driver]}'
    )
    config.parse_args(sys.argv)
    log.setup(nova.conf.CONF, 'nova')
    opts.register_service_opts(nova.conf.CONF)
    # nothing privileged is ever run for the embedded driver, but the context
    # must be there
    priv_context.init(root_helper=['false'])
    if where.driver == 'libvirt':
        _be_privileged('nova.privsep', 'sys_admin_pctxt')
    objects.register_all()
    os_brick.setup(nova.conf.CONF)
    os_vif.initialize()
    objects.Service.enable_min_version_cache()
    wsgi_app._setup_service(nova.conf.CONF.host, 'osapi_compute')


def _configuration(where: layout.Layout, service: str) -> list[str]:
    names = [f'{service}.conf']
    if where.driver != 'embedded':
        names.append(f'{service}-{where.driver}.conf')
    paths = [str(where.path('etc', name)) for name in names]
    return [word for path in paths for word in ('--config-file', path)]


def _be_privileged(module: str, name: str) -> None:
    """Let a service, and os-brick in it, do root's work itself.

    With real guests it is root's; else it would start a daemon with sudo.
    """
    from os_brick import privileged

    for context in (
        getattr(importlib.import_module(module), name),
        privileged.default,
        privileged.brick_privsep_hide_output,
    ):
        context.set_client_mode(False)


def _start_nova(binary: str, rpcapi: str) -> None:
    from nova import service

    rpc = importlib.import_module(rpcapi)
    one = service.Service.create(
        binary=binary,
        topic=rpc.RPC_TOPIC,
        topic_alt=getattr(rpc, 'RPC_TOPIC_ALT', None),
    )
    one.start()
    _running.append(one)


def cinder(where: layout.Layout, serve: Serve) -> None:
    """Serve Cinder: API, scheduler and volume."""
    os.environ['OS_CINDER_DISABLE_EVENTLET_PATCHING'] = '1'
    sys.argv = ['cinder', *_configuration(where, 'cinder')]
    from cinder import monkey_patch

    monkey_patch.patch(backend='threading')
    # registers options: must come before cinder.wsgi.api parses them
    import os_brick
    from cinder.cmd import volume
    from cinder.wsgi import api
    from oslo_config import cfg
    from oslo_privsep import priv_context

    priv_context.init(root_helper=['false'])
    if where.driver == 'libvirt':
        _be_privileged('cinder.privsep', 'sys_admin_pctxt')
    os_brick.setup(cfg.CONF)
    cfg.CONF.register_opt(volume.host_opt, group='files')
    # first, since the scheduler waits for the volume service's report
    _start_cinder(
        host=f'{cfg.CONF.host}@files',
        service_name='files',
        binary='cinder-volume',
        coordination=True,
    )
    _start_cinder(binary='cinder-scheduler')
    serve(api.application, 'cinder')


def _start_cinder(**which: Any) -> None:
    from cinder import service

    one = service.Service.create(**which)
    one.start()
    _running.append(one)


def neutron(where: layout.Layout, serve: Serve) -> None:
    """Serve Neutron's API; no agent and no RPC server is needed."""
    os.environ['OS_NEUTRON_CONFIG_DIR'] = str(where.path('etc'))
    os.environ['OS_NEUTRON_CONFIG_FILES'] = 'neutron.conf'
    sys.argv = ['neutron-api']
    _add_entry_point(
        'neutron.ml2.mechanism_drivers',
        'embedded',
        'xloudclient.tests.cloud.drivers.ports:LoopbackDriver',
    )
    from neutron.wsgi import api

    serve(api.application, 'neutron')


def _add_entry_point(group: str, name: str, value: str) -> None:
    """Let stevedore find a plug-in of ours whether installed or not."""
    from stevedore import _cache

    get_group_all = _cache.get_group_all
    ours = importlib.metadata.EntryPoint(name, value, group)

    def with_ours(namespace: str, *args: Any, **kwargs: Any) -> list[Any]:
        found = list(get_group_all(namespace, *args, **kwargs))
        return [*found, ours] if namespace == group else found

    _cache.get_group_all = with_ours
