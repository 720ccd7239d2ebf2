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


"""What is shown to people: what others wrote, and numbers of bytes."""


def printable(text: str) -> str:
    """Return the text without anything that a terminal would act on."""
    return ''.join(
        one if one.isprintable() else one.encode('unicode_escape').decode()
        for one in text
    )


def byte_size(count: float) -> str:
    """Return a number of bytes as people read it, ``1.5 GiB``."""
    if count < 1024:
        return f'{count:.0f} B'
    for unit in ('KiB', 'MiB', 'GiB'):
        count /= 1024
        if count < 1024:
            return f'{count:.1f} {unit}'
    return f'{count / 1024:.1f} TiB'
