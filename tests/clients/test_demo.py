"""The demo, exactly as the README says: its printed lines, pasted in order, do what is printed above them."""

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from gateway import BINARY, PATIENCE

END_OF_TOUR = "The audit log verifies"


class Demo:
    """A running demo; `steps` are its headings and lines."""

    def __init__(self, home: Path, listen: str = "127.0.0.1:0", control: str = "127.0.0.1:0"):
        command = [BINARY, "demo", "--listen", listen, "--control", control]
        environment = {"PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(
            command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.errors: list[str] = []
        self.follower = threading.Thread(target=self._follow, daemon=True)
        self.follower.start()
        try:
            self._read_tour()
        except BaseException:
            self.close()
            raise

    def _read_tour(self) -> None:
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        self.printed, seen_end = [], False
        for line in self.process.stdout:
            self.printed.append(line.rstrip("\n"))
            seen_end = seen_end or END_OF_TOUR in line
            if seen_end and line == "\n":
                break
        watchdog.cancel()
        self.text = "\n".join(self.printed)
        assert seen_end, self.text + "".join(self.errors)
        self.steps: list[tuple[str, str]] = []
        for line in self.printed:
            if re.match(r"\d+\. ", line):
                self.steps.append((line, ""))
            elif line.startswith("  "):
                heading, lines = self.steps.pop()
                self.steps.append((heading, lines + line[2:] + "\n"))

    def _follow(self) -> None:
        with self.process.stderr as lines:
            self.errors.extend(lines)

    def paste(self) -> list[tuple[str, str]]:
        """Pastes each step into one bash, in order: headings, and what each step printed."""
        mark = "-- end of step --"
        script = "".join(f"{lines}echo '{mark}'\n" for _, lines in self.steps)
        done = subprocess.run(
            ["bash"], input=script, capture_output=True, text=True, timeout=PATIENCE, cwd="/", env={"PATH": os.environ["PATH"]}
        )
        assert done.stderr == "", done.stderr
        outputs = done.stdout.split(f"{mark}\n")
        assert len(outputs) == len(self.steps) + 1, done.stdout
        return [(heading, output) for (heading, _), output in zip(self.steps, outputs)]

    def interrupt(self) -> str:
        """Ctrl-C; what it says until its end."""
        self.process.send_signal(signal.SIGINT)
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        rest = self.process.stdout.read()
        code = self.process.wait(PATIENCE)
        watchdog.cancel()
        self.close()
        assert code == 0, self.errors
        return rest

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.follower.join(PATIENCE)


@pytest.fixture
def start():
    started = []

    def run(*arguments) -> Demo:
        started.append(Demo(*arguments))
        return started[-1]

    yield run
    for demo in started:
        demo.close()


def check_tour(demo: Demo, first: bool) -> None:
    results = demo.paste()
    assert [heading.split(". ", 1)[0] for heading, _ in results] == [str(it) for it in range(11)]
    output = [text for _, text in results]
    assert '"Identity":"ben"' in output[1] and "HTTP 200" in output[1]
    assert "HTTP 403" in output[2] and "New-ElevatedAccessRequest -Task" in output[2]
    request = re.fullmatch(r"Request ([0-9a-f-]{36})\n", output[3])
    assert request, output[3]
    assert "HTTP 200" in output[4] and request[1] in output[4] and '"Approved"' in output[4]
    assert "HTTP 200" in output[5] and ("Queued" in output[5])
    assert "HTTP 200" in output[6] and '"Identity":"cleo"' in output[6]
    assert "HTTP 200" in output[7]
    assert "HTTP 403" in output[8] and "needs approval" in output[8]
    rows = ["block needs-approval", "allow granted", "allow exempt", "block needs-approval"]
    found = re.findall(r"(block needs-approval|allow granted|allow exempt)", output[9])
    assert found == (rows if first else rows * 2), output[9]
    assert re.search(r"request\.filed.*request\.approved.*grant\.created.*grant\.revoked", output[9], re.S), output[9]
    assert re.search(r": good, \d+ records", output[10]), output[10]


def test_the_tour_does_what_it_says_and_a_second_start_goes_on(tmp_path, start):
    demo = start(tmp_path)
    assert "used before" not in demo.text
    check_tour(demo, first=True)
    assert "Stopped." in demo.interrupt()

    again = start(tmp_path)
    assert "This directory was used before" in again.text
    check_tour(again, first=False)
    assert "Stopped." in again.interrupt()


def test_a_path_with_a_blank_and_a_quote_is_pasted_all_the_same(tmp_path, start):
    home = tmp_path / "it's a demo"
    home.mkdir()
    check_tour(start(home), first=True)


def test_a_taken_port_is_told_with_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--listen", "--control"):
            other = "--control" if option == "--listen" else "--listen"
            done = subprocess.run(
                [BINARY, "demo", option, f"127.0.0.1:{port}", other, "127.0.0.1:0"],
                cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 1
            assert f"port {port} on 127.0.0.1 is taken" in done.stderr and option in done.stderr, done.stderr
            assert "Traceback" not in done.stderr and "panicked" not in done.stderr


def test_a_second_demo_in_the_same_directory_is_refused(tmp_path, start):
    start(tmp_path)
    done = subprocess.run(
        [BINARY, "demo", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1 and "another demo is running" in done.stderr


def test_the_passwords_are_not_printed(tmp_path, start):
    demo = start(tmp_path)
    for file in (tmp_path / "demo-data").glob("*.curl"):
        password = re.search(r'user = ".*:(.+)"', file.read_text())[1]
        assert password not in demo.text
