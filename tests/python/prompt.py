"""Types at the prompt of `weir sql` on a pseudo-terminal: prompt.py WEIR URL HOME."""

import os
import pty
import re
import select
import signal
import struct
import sys
import time
import fcntl
import json
import termios
import urllib.request

weir, url, home = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prompt:
    def __init__(self):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            environment = dict(os.environ, HOME=home, XDG_DATA_HOME=home, XDG_STATE_HOME=home, TERM="xterm-256color")
            os.execve(weir, [weir, "sql", "--url", url], environment)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = ""

    def read(self):
        """Takes what is there, and answers the terminal's questions as a terminal does."""
        ready, _, _ = select.select([self.terminal], [], [], 0.05)
        if not ready:
            return
        try:
            data = os.read(self.terminal, 65536).decode("utf-8", "replace")
        except OSError:
            return
        if "\x1b[6n" in data:
            os.write(self.terminal, b"\x1b[1;1R")
        self.seen += data

    def plain(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>78]|\r", "", self.seen)

    def expect(self, wanted, bound=60):
        end = time.monotonic() + bound
        while time.monotonic() < end:
            self.read()
            if re.search(wanted, self.plain()):
                self.seen = ""
                return
        sys.exit(f"{wanted!r} did not come; the terminal shows:\n{self.plain()}")

    def answers(self, wanted):
        """What is wanted comes, and after it a prompt that takes input."""
        self.expect(f"(?is){wanted}.*=> *$")

    def type(self, text):
        for letter in text:
            os.write(self.terminal, letter.encode())
            self.read()

    def wait_until_running(self, piece, bound=60):
        """Waits until the server lists a running query whose text holds the piece."""
        end = time.monotonic() + bound
        while time.monotonic() < end:
            self.read()
            with opener.open(f"{url}/v1/queries") as response:
                listed = json.load(response)["queries"]
            if any(piece in str(query) and query["state"] == "running" for query in listed):
                return
        sys.exit(f"no query with {piece!r} runs; the terminal shows:\n{self.plain()}")

    def close(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        sys.exit(f"the prompt did not end; the terminal shows:\n{self.plain()}")


prompt = Prompt()
prompt.answers("")
prompt.type("SELECT 6 * 7 AS answer;\r")
prompt.answers("42")
# More than one line.
prompt.type("SELECT\r")
prompt.expect(r"-> *$")
prompt.type("'sev' || 'en' AS word;\r")
prompt.answers("seven")
prompt.type("\\dt\r")
prompt.answers(r"\(0 rows\)")
prompt.type("\\d bids\r")
prompt.answers("auction.*price")
prompt.type("SELECT prise FROM bids;\r")
prompt.answers("did you mean.*price")
# Ctrl-C stops the query, not the prompt.
prompt.type("SELECT count(*) FROM generate_series(1, 1000000) a(x), generate_series(1, 1000000) b(y) WHERE (x * 7 + y) % 1000003 = 1000002;\r")
prompt.wait_until_running("1000003")
os.write(prompt.terminal, b"\x03")
prompt.answers("cancel")
prompt.type("\\q\r")
code = prompt.close()
assert code == 0, code
# The history is there the next time.
prompt = Prompt()
prompt.answers("")
found = any("prise" in open(os.path.join(folder, name), errors="replace").read() for folder, _, names in os.walk(home) for name in names)
assert found, "no history was kept"
prompt.type("\\q\r")
prompt.close()
print("ok")
