"""A mail server as approvers have one: Postfix takes mail by STARTTLS and sign-in-free from this machine, Dovecot shows it by IMAP.

Everything lies in a directory of the test's; both listen on loopback, and both need root to start.
"""

import imaplib
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
    said = listens.wait(PATIENCE) and process.poll() is None
    if not said:
        process.kill()
        raise RuntimeError("the mail server did not start:\n" + "".join(log))
    return process


class MailServer:
    """Runs until `stop`; `port` takes mail for `@contoso.example`, `mailbox` reads it back."""

    def __init__(self, directory: Path, certificates: Path):
        self.port, self.imap = _free_port(), _free_port()
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
        # Both say so when they listen.
        self.dovecot = _start(["dovecot", "-F", "-c", configuration], "starting up")
        self.postfix = _start(["postfix", "-c", self.etc, "start-fg"], "daemon started")
        for port in (self.imap, self.port):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()

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

    def stop(self) -> None:
        subprocess.run(["postfix", "-c", self.etc, "stop"], capture_output=True, timeout=PATIENCE)
        self.postfix.wait(PATIENCE)
        self.dovecot.terminate()
        self.dovecot.wait(PATIENCE)
