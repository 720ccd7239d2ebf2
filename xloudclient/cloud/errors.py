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


"""The one place where the cloud's errors become ours."""

import contextlib
import html
from collections.abc import Iterator

import requests
from keystoneauth1 import exceptions as ksa_exceptions
from openstack import exceptions as sdk_exceptions

from xloudclient.consistency.errors import CloudError, Refused, ReplyLost

#: What says that a request may have arrived although no reply did.
LOST = (
    ksa_exceptions.ConnectionError,
    ksa_exceptions.RetriableConnectionFailure,
    requests.RequestException,
)

#: For requests that make something: a reply that is lost is ours to judge,
#: whatever clouds.yaml tells the library to send again.
ONCE = {'connect_retries': 0, 'status_code_retries': 0}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what a call to the cloud raises as a :class:`CloudError`.

    :raises Refused: a 4xx reply, or no way to ask at all
    :raises ReplyLost: a 5xx reply, or none
    """
    try:
        yield
    except CloudError:
        raise
    except sdk_exceptions.HttpException as error:
        # before LOST: the SDK derives it from requests' HTTPError
        raise _of_http(error) from error
    except LOST as error:
        raise ReplyLost(str(error)) from error
    except (
        sdk_exceptions.SDKException,
        ksa_exceptions.ClientException,
    ) as error:
        raise Refused(str(error)) from error


def _of_http(error: sdk_exceptions.HttpException) -> CloudError:
    status = error.status_code or 0
    if not status and isinstance(error, sdk_exceptions.NotFoundException):
        # the SDK's own conclusion, from a reply that did come
        status = 404
    # Glance answers with HTML
    text = html.unescape(str(error.details or error.message or error))
    text = ' '.join(text.split()).rstrip('.')
    if status >= 500 or not status:
        return ReplyLost(f'{status} {text}'.strip())
    return Refused(text, status)
