"""A mail server as approvers have one: Postfix takes mail by STARTTLS and sign-in-free from this machine, Dovecot shows it by IMAP.

Everything lies in a directory of the test's; both listen on loopback, and both need root to start.
"""

import imaplib
import re
import shutil
import socket
import subprocess
import time
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
log_path={d}/dovecot/log
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
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.dovecot = subprocess.Popen(["dovecot", "-F", "-c", configuration], **quiet)
        self.postfix = subprocess.Popen(["postfix", "-c", self.etc, "start-fg"], **quiet)
        for port in (self.imap, self.port):
            self._await(port)

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the mail server does not listen on port {port}") from None
                time.sleep(0.05)

    def mailbox(self, user: str, count: int) -> list[EmailMessage]:
        """The mails of `user`, as soon as there are `count`, oldest first."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with imaplib.IMAP4("127.0.0.1", self.imap, timeout=PATIENCE) as imap:
                imap.login(user, PASSWORD)
                imap.select("INBOX", readonly=True)
                numbers = imap.search(None, "ALL")[1][0].split()
                found = [imap.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1] for number in numbers]
            if len(found) >= count:
                return [message_from_bytes(it, policy=policy.default) for it in found]
            assert time.monotonic() < deadline, f"{user} has {len(found)} mails, not {count}"
            time.sleep(0.1)

    def stop(self) -> None:
        subprocess.run(["postfix", "-c", self.etc, "stop"], capture_output=True, timeout=PATIENCE)
        self.postfix.wait(PATIENCE)
        self.dovecot.terminate()
        self.dovecot.wait(PATIENCE)
