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

"""Which machine this is: a home may be shared, and a hook here is not."""

import contextlib
import os
import pathlib

MACHINE_ID = pathlib.Path('/etc/machine-id')

#: While a system is installed the file may have another word in it.
ID_LENGTH = 32


def identity() -> str:
    """Return what no other machine has (machine-id(5)), as far as it has
    that: else its name."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = MACHINE_ID.read_text().strip()
        if len(text) == ID_LENGTH:
            return text
    return name()


def name() -> str:
    """Return what people call it."""
    return os.uname().nodename
