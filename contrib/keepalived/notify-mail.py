#!/usr/bin/python3
"""Mails that a director's state has changed.

notify.sh calls it where /etc/keepalived/mail.conf exists, with what keepalived said:

    notify-mail.py INSTANCE VI_1 MASTER 100

A mail server that cannot be reached, or says "later", is asked again: the network may be what has just changed. Who
gave up says so in the system log. Needs Python 3.7 and nothing else. `--dry-run` shows the mail and sends none.
"""

import argparse
import configparser
import smtplib
import socket
import sys
import syslog
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

# What a state means for those who read the mail.
MEANINGS = {
    "MASTER": "It has the shared address and serves the clients now.",
    "BACKUP": "Another director has the shared address.",
    "FAULT": "It cannot serve: its proxy does not answer, or an interface is down.",
    "STOP": "keepalived was stopped here.",
}


def settings(path):
    """The [mail] section of the file, over what holds without it."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict({"mail": {
        "server": "127.0.0.1", "port": "25", "encryption": "none", "user": "", "password": "", "timeout": "10",
        "from": "keepalived@" + socket.gethostname(), "to": "root", "pauses": "5 30 120"}})
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    return parser["mail"]


def message(mail, kind, name, state, priority):
    """The mail about one change. Message-ID and date tell two changes within a second apart."""
    host = socket.gethostname()
    text = EmailMessage()
    text["Subject"] = f"{host}: {name} is {state}"
    text["From"] = mail["from"]
    text["To"] = mail["to"]
    text["Date"] = formatdate(localtime=True)
    text["Message-ID"] = make_msgid(domain=host)
    # No machine shall answer this (RFC 3834).
    text["Auto-Submitted"] = "auto-generated"
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    text.set_content(
        f"{when}: {kind.lower()} {name} on {host} is {state}.\n"
        f"{MEANINGS.get(state, '')}\n"
        f"Its priority is {priority}.\n")
    return text


def send(mail, text):
    """One try. Raises OSError or smtplib.SMTPException."""
    kind = smtplib.SMTP_SSL if mail["encryption"] == "tls" else smtplib.SMTP
    with kind(mail["server"], mail.getint("port"), timeout=mail.getfloat("timeout")) as server:
        if mail["encryption"] == "starttls":
            server.starttls()
        if mail["user"]:
            server.login(mail["user"], mail["password"])
        server.send_message(text)


def is_final(error):
    """Whether another try would end the same way: the server has refused, rather than failed."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


def deliver(mail, text):
    """Tries until it works or makes no sense; whether it worked."""
    pauses = [float(word) for word in mail["pauses"].split()]
    for pause in pauses + [None]:
        try:
            send(mail, text)
            return True
        except (OSError, smtplib.SMTPException) as error:
            if pause is None or is_final(error):
                syslog.syslog(syslog.LOG_ERR, f"not mailed: {text['Subject']}: {error}")
                return False
            time.sleep(pause)
    return False


def main():
    """0 if it was mailed, 1 if not, 2 if there was nothing to mail with."""
    parser = argparse.ArgumentParser(description="mails that a director's state has changed")
    parser.add_argument("--config", default="/etc/keepalived/mail.conf")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("kind", metavar="INSTANCE|GROUP")
    parser.add_argument("name")
    parser.add_argument("state")
    parser.add_argument("priority", nargs="?", default="unknown")
    given = parser.parse_args()
    syslog.openlog("epoxy-vrrp", syslog.LOG_PID, syslog.LOG_DAEMON)
    try:
        mail = settings(given.config)
        text = message(mail, given.kind, given.name, given.state, given.priority)
    except (OSError, KeyError, ValueError, configparser.Error) as error:
        syslog.syslog(syslog.LOG_ERR, f"{given.config}: {error}")
        print(f"{given.config}: {error}", file=sys.stderr)
        return 2
    if given.dry_run:
        print(text)
        return 0
    return 0 if deliver(mail, text) else 1


if __name__ == "__main__":
    sys.exit(main())
