"""A tollgate process of the tests' own: started on a free port with a home of its own, stopped by its process id.

What it recorded is read as a user reads it, with `tollgate log` and `tollgate show`. A record is in the ledger before
the last byte of its response reaches the client, so whoever has a whole answer can look at once.
"""

import json
import os
import re
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import credentials

BINARY = Path(os.environ["TOLLGATE_BINARY"])
DEADLINE = 60


def clean_environment(**more):
    """The environment of a user who has set nothing but what is said here."""
    kept = ("PATH", "LANG", "TMPDIR", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    environment["PYTHONUNBUFFERED"] = "1"
    environment.update(more)
    return environment


class Lines:
    """What a process writes, line by line, for those who wait for a line."""

    def __init__(self, pipe):
        self._lines = []
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def text(self, start=0):
        with self._changed:
            return "\n".join(self._lines[start:])

    def count(self):
        with self._changed:
            return len(self._lines)

    def wait_for(self, pattern, start=0):
        """The first match in a line from number `start` on; fails when there is none in time."""

        def found():
            for line in self._lines[start:]:
                match = re.search(pattern, line)
                if match:
                    return match
            return None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout=DEADLINE)
            match = found()
        assert match, f"no line has {pattern!r}:\n{self.text()}"
        return match


class Gate:
    """`tollgate demo` or `tollgate serve`."""

    def __init__(self, *arguments, command="demo", environment=None):
        self._directory = tempfile.TemporaryDirectory(prefix="tollgate-test-")
        self.home = Path(self._directory.name) / "home"
        line = [BINARY, command, "--home", self.home, "--listen", "127.0.0.1:0", *arguments]
        self._killed = False
        self._process = subprocess.Popen(
            line,
            env=clean_environment(HOME=self._directory.name, **(environment or {})),
            cwd=self._directory.name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.stdout = Lines(self._process.stdout)
        self.stderr = Lines(self._process.stderr)
        self.port = int(self.stdout.wait_for(r"listens on 127\.0\.0\.1:(\d+)")[1])
        if command == "demo":
            # The sample calls are over when the lines to paste are printed.
            self.stdout.wait_for("Each call shows up below")
        self.greeting = self.stdout.count()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def kill(self):
        """Ends the process with no chance to write anything more."""
        self._killed = True
        self._process.kill()
        self._process.wait(timeout=DEADLINE)

    def stop(self):
        """Stops the process; it must end well."""
        self._process.terminate()
        status = self._process.wait(timeout=DEADLINE)
        self._directory.cleanup()
        assert self._killed or status == 0, f"tollgate ended with {status}:\n{self.stderr.text()}"

    @property
    def address(self):
        return f"localhost:{self.port}"

    @property
    def http(self):
        return f"http://{self.address}"

    @property
    def https(self):
        return f"https://{self.address}"

    @property
    def ca(self):
        return str(self.home / "ca.pem")

    @property
    def bundle(self):
        return str(self.home / "bundle.pem")

    def tollgate(self, *arguments):
        """Output of another tollgate command on the same home."""
        return subprocess.run(
            [BINARY, *arguments, "--home", self.home],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            check=True,
        ).stdout

    def records(self):
        """All records, oldest first."""
        return [json.loads(line) for line in self.tollgate("log", "--json").splitlines()]

    @contextmanager
    def recording(self):
        """Gives a list that holds, after the block, the records that were added during it."""
        before = {record["id"] for record in self.records()}
        added = []
        yield added
        added.extend(record for record in self.records() if record["id"] not in before)

    def show(self, record):
        """`tollgate show` of a record; whatever it prints, it prints no secret."""
        text = self.tollgate("show", record["id"])
        assert record["id"] in text
        credentials.assert_no_secret_in(text)
        credentials.assert_no_secret_in(self.tollgate("show", record["id"], "--json"))
        return text
