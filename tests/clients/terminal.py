"""A command on a terminal of its own, as a person has it: what it shows, what is typed, and how it leaves the terminal."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading

PATIENCE = 60


def take_terminal() -> None:
    """As a shell starts a command: on its terminal, and with no signal ignored, whatever started the tests."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """Runs until the command ends or `close`; `screen` is all that was shown."""

    def __init__(self, command: list, environment: dict[str, str], columns: int = 80):
        self.master, self.slave = pty.openpty()
        self.resize(columns)
        self.before = termios.tcgetattr(self.slave)
        self.screen, self.is_open = "", True
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environment | {"TERM": "xterm"},
            start_new_session=True, preexec_fn=take_terminal,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                data = b""
            with self._changed:
                if not data:
                    self._changed.notify_all()
                    return
                self.screen += data.decode(errors="replace")
                self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        """Returns as soon as the screen shows `text`."""
        with self._changed:
            shown = self._changed.wait_for(lambda: text in self.screen, PATIENCE)
        if not shown:
            code = self.process.poll()
            state = "still runs" if code is None else f"ended with {code}"
            raise AssertionError(f"`{text}` was not shown; the command {state}; the screen:\n{self.screen}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def resize(self, columns: int, rows: int = 24) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def echoes(self) -> bool:
        """Whether what is typed shows."""
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def end(self) -> int:
        """Waits for the end; the exit code, negative for a signal."""
        code = self.process.wait(PATIENCE)
        # The command is gone; once this side is closed as well, the reader comes to the end of what was shown.
        self.attributes = termios.tcgetattr(self.slave)
        self.ended_as_before = self.attributes == self.before
        self._leave()
        return code

    def close(self) -> None:
        """Ends the command, if it is not over."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._leave()

    def _leave(self) -> None:
        if self.is_open:
            self.is_open = False
            os.close(self.slave)
            self._reader.join(PATIENCE)
            os.close(self.master)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
