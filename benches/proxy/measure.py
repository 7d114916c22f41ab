"""Processes on a core of their own, load on them, and what it cost."""

import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

TICKS_S = os.sysconf("SC_CLK_TCK")


class Process:
    """A command that runs pinned to `core`, in `directory`, until it is stopped. It is up when `port` answers to HTTP."""

    def __init__(self, name, core, command, directory, port, page="/"):
        self.name = name
        self.log = open(directory / f"{name}.log", "ab")
        command = ["taskset", "-c", str(core), *map(str, command)]
        self.process = subprocess.Popen(command, cwd=directory, stdout=self.log, stderr=subprocess.STDOUT)
        self._wait_for(f"http://127.0.0.1:{port}{page}", directory)

    def _wait_for(self, page, directory):
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended at its start: see {directory / self.name}.log")
            try:
                urllib.request.urlopen(page, timeout=1).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer at {page}")

    def cpu_s(self):
        """User and system time so far, of all threads, in seconds."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_S

    def resident_kb(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def run(core, command, **environment):
    command = ["taskset", "-c", str(core), *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def wrk(core, url, seconds, connections, script, table, path):
    """Requests per second by HTTP/1.1, and how many were not answered with success."""
    text = run(core, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url], BENCH_TABLE=str(table), BENCH_PATH=path)
    requests = int(re.search(r"(\d+) requests in", text)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: (.*)", text)
    if broken:
        raise SystemExit(f"{url}: {broken[0]}")
    return rate, requests, int(other[1]) if other else 0


def h2load(core, url, seconds, connections, authorization, body, *more):
    """Requests per second by HTTP/2 (or as `more` says), one stream a connection, and how many were not answered with success."""
    text = run(core, ["h2load", "-t1", f"-c{connections}", "-m1", *([f"-D{seconds}"] if seconds else []), "-d", body, "-H", f"authorization: {authorization}",
                      "-H", "content-type: application/json", *more, url])
    rate = float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)[1])
    status = [int(number) for number in re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups()]
    return rate, sum(status), sum(status[1:])


def latencies_us(core, url, seconds, connections, per_second, authorization, body, log):
    """How long each request took at a fixed rate, sorted, without the first two seconds, in microseconds.

    Connections are opened one by one, so that their requests do not all come at the same moment.
    """
    log.unlink(missing_ok=True)
    h2load(core, url, None, connections, authorization, body, "--h1", f"--rps={per_second / connections:.1f}", f"--log-file={log}",
           f"-n{per_second * (seconds + 2)}", "-r1", "--rate-period=13ms")
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    start = min(int(line[0]) for line in lines)
    return sorted(int(line[2]) for line in lines if int(line[0]) > start + 2_000_000)


def idle_tls_kb(process, port, count, request):
    """Resident memory that each idle TLS connection adds, in kB, once each has made a handshake and one request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = process.resident_kb()
    open_ones = []
    for _ in range(count):
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
        connection.sendall(request)
        connection.recv(65536)
        open_ones.append(connection)
    time.sleep(1)
    added = (process.resident_kb() - before) / count
    for connection in open_ones:
        connection.close()
    time.sleep(0.5)
    return added


def fdatasyncs_per_s(directory, seconds):
    """How often the disk takes 64 kB at the end of a file, synced, one after the other: what strict durability lives on."""
    path, block = directory / "probe", os.urandom(65536)
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    count, began = 0, time.monotonic()
    while time.monotonic() < began + seconds:
        os.write(file, block)
        os.fdatasync(file)
        count += 1
    os.close(file)
    path.unlink()
    return count / (time.monotonic() - began)
