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

"""Holding hooks as a test drives them: the shell, the pipes, the clock."""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import testtools

from xloudclient.guest import quiescers

DASH = ('dash',)
BUSYBOX = ('busybox', 'sh')
#: What sh is where it is bash.
BASH = ('bash', '--posix')
SHELLS = (DASH, BUSYBOX, BASH)

#: What ends a hook that waits to be told to hold, and its exit code then.
ENDS = (
    (lambda hook: hook.tell('release'), 0),
    (lambda hook: hook.end_input(), 0),
    (lambda hook: hook.process.terminate(), 1),
    (lambda hook: hook.process.kill(), -signal.SIGKILL),
)

#: Seconds until a hook must have said or done what it was asked.
PATIENCE = 30
#: Seconds within which a hook that was killed must hold nothing any more;
#: fewer than those after which a pause of Redis ends by itself.
FREED_WITHIN = 5


class Hook:
    """A quiescer at work, in a run folder of its own on a tmpfs."""

    def __init__(
        self,
        name,
        *options,
        verb='hold',
        shell=DASH,
        text=None,
        **environment,
    ):
        self.folder = tempfile.mkdtemp(dir='/dev/shm')
        path = os.path.join(self.folder, name)
        with open(path, 'w') as script:
            script.write(text or quiescers.script(name))
        self._input, child_input = _pipe_to_child()
        self._output, child_output = os.pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [*shell, path, verb, *options],
            stdin=child_input,
            stdout=child_output,
            stderr=self._errors,
            cwd='/',
            env={**os.environ, 'XLOUD_RUN_FOLDER': self.folder, **environment},
            start_new_session=True,
        )
        os.close(child_input)
        os.close(child_output)
        self._buffer = b''

    def prepared(self):
        line = self.line()
        if line != 'prepared':
            raise AssertionError(
                f'prepared was expected, not {line!r}; {self.errors()}'
            )

    def ready(self):
        return self._said('ready')

    def verify(self):
        self.tell('verify')
        return self._said('held')

    def release(self):
        self.tell('release')
        return self.end()

    def tell(self, word):
        os.write(self._input, word.encode() + b'\n')

    def end_input(self):
        os.close(self._input)
        self._input = None

    def end(self):
        """Wait; give the exit code."""
        return self.process.wait(PATIENCE)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def fill_output(self):
        """Leave no room in the pipe that the hook writes to."""
        pipe = os.open(
            f'/proc/{self.process.pid}/fd/1', os.O_WRONLY | os.O_NONBLOCK
        )
        try:
            while True:
                os.write(pipe, b'x')
        except BlockingIOError:
            os.close(pipe)

    def close_output(self):
        os.close(self._output)
        self._output = None

    def line(self):
        """Give the next line of its output, '' at the end."""
        deadline = time.monotonic() + PATIENCE
        while b'\n' not in self._buffer:
            left = max(0, deadline - time.monotonic())
            if not select.select([self._output], [], [], left)[0]:
                raise AssertionError(f'the hook said nothing; {self.errors()}')
            got = os.read(self._output, 65536)
            if not got:
                return ''
            self._buffer += got
        line, self._buffer = self._buffer.split(b'\n', 1)
        return line.decode()

    def errors(self):
        self._errors.seek(0)
        return self._errors.read().decode()

    def is_alone(self):
        """Whether no process is left of it and of those it has started."""
        for path in pathlib.Path('/proc').glob('[0-9]*/cwd'):
            with contextlib.suppress(OSError):
                if os.readlink(path) == self.folder:
                    return False
        return True

    def child(self, program):
        """Give the process of that program that it has started."""
        for path in pathlib.Path('/proc').glob('[0-9]*/cwd'):
            with contextlib.suppress(OSError):
                name = path.with_name('comm').read_text().strip()
                if (os.readlink(path), name) == (self.folder, program):
                    return int(path.parent.name)
        raise AssertionError(f'{program} does not run')

    def scratch_files(self):
        return sorted(set(os.listdir(self.folder)))

    def close(self):
        if self.process.poll() is None:
            self.kill()
        for descriptor in (self._input, self._output):
            if descriptor is not None:
                os.close(descriptor)
        self._errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _said(self, word):
        line = self.line()
        if not line.startswith(word + ' '):
            raise AssertionError(
                f'{word} was expected, not {line!r}; {self.errors()}'
            )
        return json.loads(line.removeprefix(word))


def _pipe_to_child():
    reading, writing = os.pipe()
    return writing, reading


class HookTestCase(testtools.TestCase):
    """Starts hooks, and ends them whatever happens."""

    quiescer = ''

    def hook(self, *options, **rest):
        hook = Hook(self.quiescer, *options, **rest)
        self.addCleanup(hook.close)
        return hook

    def need(self, *programs):
        for program in programs:
            if not shutil.which(program, path=SEARCH_PATH):
                self.fail(f'{program} is not installed: see tools/prepare')

    def assert_prepares(self, *options):
        """While it is prepared everybody writes, and it leaves nothing."""
        for shell in SHELLS:
            self.need(shell[0])
            for end, code in ENDS:
                with self.subTest(shell=shell, code=code):
                    hook = self.hook(*options, verb='prepare', shell=shell)
                    hook.prepared()
                    self.server.ask(self.server.writing)
                    end(hook)
                    self.assert_output_ends(hook)
                    self.assertEqual(code, hook.end(), hook.errors())
                    self.assertTrue(wait_for(hook.is_alone))
                    self.server.ask(self.server.writing)
            with self.subTest(shell=shell):
                hook = self.hook(*options, verb='prepare', shell=shell)
                hook.prepared()
                hook.tell('hold')
                hook.ready()
                writer = self.blocked_write()
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assertEqual('released', hook.line())
                self.assert_writes(writer)
                self.assertEqual([self.quiescer], hook.scratch_files())

    def assert_refused(self, hook, code, sentence):
        """It printed nothing, said why in one line, and left nothing."""
        self.assertEqual('', hook.line())
        self.assertEqual(code, hook.end())
        self.assertIn(sentence, hook.errors())
        self.assertEqual(1, hook.errors().count('\n'), hook.errors())

    def assert_fails_verify(self, hook, sentence):
        hook.tell('verify')
        self.assertNotIn('held', hook.line())
        self.assertEqual(1, hook.end())
        self.assertIn(sentence, hook.errors())

    def assert_not_on_a_command_line(self, password, *options):
        """Neither while it prepares nor while it holds, verifies, ends."""
        for shell in SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                with CommandLines(password) as seen:
                    hook = self.hook(*options, verb='prepare', shell=shell)
                    hook.prepared()
                    hook.tell('hold')
                    self.assertEqual('application', hook.ready()['gives'])
                    hook.verify()
                    looks = seen.looks
                    self.assertEqual(0, hook.release())
                self.assertEqual(set(), seen.found)
                self.assertGreater(looks, 5)

    def assert_output_ends(self, hook):
        """No process that outlives the hook keeps its output open."""
        self.assertEqual('', hook.line())


SEARCH_PATH = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/sbin'


def folder(test):
    """Make a folder in memory that is gone after the test."""
    made = tempfile.mkdtemp(prefix='quiescer-', dir='/dev/shm')
    test.addCleanup(shutil.rmtree, made, ignore_errors=True)
    return made


class CommandLines:
    """What anybody sees of all processes, as long as it is entered."""

    def __init__(self, word):
        self._word = word.encode()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        #: Those that had the word.
        self.found = set()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def _look(self):
        while not self._is_over.is_set():
            for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
                with contextlib.suppress(OSError):
                    if self._word in (line := path.read_bytes()):
                        self.found.add(line)
            self.looks += 1


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
