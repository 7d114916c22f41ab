"""A mail server as approvers have one: Postfix takes mail by STARTTLS and sign-in-free from this machine, Dovecot shows it by IMAP.

Everything lies in a directory of the test's; both listen on loopback, and both need root to start.
"""

from __future__ import annotations

import contextlib
import imaplib
import random
import re
import shutil
import socket
import subprocess
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

PATIENCE = 60
PASSWORD = "pw"

MAIN_CF = """\
compatibility_level=3.6
config_directory={d}/etc
queue_directory={d}/spool
data_directory={d}/data
inet_interfaces=127.0.0.1
inet_protocols=ipv4
myhostname=localhost
mydestination=
virtual_mailbox_domains=contoso.example
virtual_transport=lmtp:unix:{d}/dovecot/lmtp
smtpd_recipient_restrictions=permit_mynetworks,reject
smtpd_tls_cert_file={certificates}/server.pem
smtpd_tls_key_file={certificates}/server-key.pem
smtpd_tls_security_level=encrypt
maillog_file=/dev/stdout
maillog_file_prefixes=/dev
"""

DOVECOT_CONF = """\
base_dir={d}/run
log_path=/dev/stderr
protocols=imap lmtp
listen=127.0.0.1
ssl=no
disable_plaintext_auth=no
mail_location=maildir:{d}/mailbox/%u
first_valid_uid=8
passdb {{
  driver=static
  args=password={password}
}}
userdb {{
  driver=static
  args=uid=mail gid=mail home={d}/mailbox/%u allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port={imap}
  }}
  inet_listener imaps {{
    port=0
  }}
}}
service lmtp {{
  unix_listener {d}/dovecot/lmtp {{
    mode=0666
  }}
}}
"""


def _free_ports(count: int) -> list[int]:
    """Ports of which nobody listens on any, and that no connection or server that leaves the choice to the system gets meanwhile."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in random.sample(range(10_000, lowest), lowest - 10_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} ports are free below {lowest}")


def _start(command: list, says: str) -> subprocess.Popen:
    """Starts a daemon in the foreground; returns as soon as it `says` that it listens."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log, listens = [], threading.Event()

    def follow() -> None:
        with process.stdout as lines:
            for line in lines:
                log.append(line)
                if says in line:
                    listens.set()
        listens.set()

    threading.Thread(target=follow, daemon=True).start()
    if not listens.wait(PATIENCE) or process.poll() is not None:
        _end(process)
        raise RuntimeError(f"`{command[0]}` did not start (exit code {process.returncode}):\n" + "".join(log))
    return process


def _end(process: subprocess.Popen) -> None:
    """In order, or, when that takes too long, at once."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class MailServer:
    """Runs until it is left; `port` takes mail for `@contoso.example`, `mailbox` reads it back."""

    def __init__(self, directory: Path, certificates: Path):
        self.port, self.imap = _free_ports(2)
        self.etc = directory / "etc"
        for name in ("etc", "spool", "data", "mailbox", "dovecot"):
            (directory / name).mkdir(parents=True)
        # Their own users have to get here.
        for folder in (directory, *directory.parents):
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o711)
        directory.chmod(0o755)
        shutil.chown(directory / "data", "postfix")
        shutil.chown(directory / "mailbox", "mail", "mail")
        for name in ("postfix-files", "dynamicmaps.cf", "post-install", "postfix-script"):
            shutil.copy(f"/etc/postfix/{name}", self.etc)
        # Debian keeps the pristine one apart: /etc/postfix has none before Postfix is configured.
        pristine = Path("/etc/postfix/master.cf")
        master = (pristine if pristine.exists() else Path("/usr/share/postfix/master.cf.dist")).read_text()
        master = re.sub(r"(?m)^smtp +inet.*", f"{self.port} inet n - n - - smtpd", master)
        master = re.sub(r"(?m)^(\S+\s+unix\S*\s+\S+\s+\S+\s+)y", r"\1n", master)
        (self.etc / "master.cf").write_text(master)
        (self.etc / "main.cf").write_text(MAIN_CF.format(d=directory, certificates=certificates))
        configuration = directory / "dovecot/dovecot.conf"
        configuration.write_text(DOVECOT_CONF.format(d=directory, imap=self.imap, password=PASSWORD))
        with contextlib.ExitStack() as started:
            # Both say so when they listen.
            started.callback(_end, _start(["dovecot", "-F", "-c", configuration], "starting up"))
            postfix = _start(["postfix", "-c", self.etc, "start-fg"], "daemon started")
            started.callback(_end, postfix)
            started.callback(subprocess.run, ["postfix", "-c", self.etc, "stop"], capture_output=True, timeout=PATIENCE)
            for port in (self.imap, self.port):
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            self._started = started.pop_all()

    def __enter__(self) -> MailServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._started.__exit__(*error)

    def mailbox(self, user: str, count: int) -> list[EmailMessage]:
        """The mails of `user`, as soon as there are `count`, oldest first."""
        with imaplib.IMAP4("127.0.0.1", self.imap, timeout=PATIENCE) as imap:
            imap.login(user, PASSWORD)
            there = int(imap.select("INBOX", readonly=True)[1][0])
            if there < count:
                self._idle(imap, user, count)
            numbers = imap.search(None, "ALL")[1][0].split()
            found = [imap.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1] for number in numbers]
            return [message_from_bytes(it, policy=policy.default) for it in found]

    def _idle(self, imap: imaplib.IMAP4, user: str, count: int) -> None:
        """Waits until the server tells of `count` mails (IDLE, RFC 2177)."""
        imap.send(b"idling IDLE\r\n")
        there = 0
        while there < count:
            try:
                line = imap.readline()
            except TimeoutError:
                raise AssertionError(f"{user} has {there} mails, not {count}") from None
            if found := re.match(rb"\* (\d+) EXISTS", line):
                there = int(found[1])
        imap.send(b"DONE\r\n")
        while not imap.readline().startswith(b"idling "):
            pass
