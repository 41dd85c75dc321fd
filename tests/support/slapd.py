"""A real slapd on free ports, with a database of its own under the test's directory."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Pair

SLAPD = shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin")
SCHEMAS = Path("/etc/ldap/schema")
START_SECONDS_MAX = 10.0

CONFIG = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {directory}/slapd.pid
{tls}
database mdb
suffix "dc=example,dc=org"
rootdn "cn=root,dc=example,dc=org"
rootpw root-secret
directory {directory}/data
overlay memberof
memberof-group-oc groupOfNames
access to attrs=userPassword by anonymous auth by * none
access to dn.base="dc=example,dc=org" by * read
access to * by dn.exact="cn=service,dc=example,dc=org" read by self read by * none
"""
TLS = """\
TLSCACertificateFile {ca}
TLSCertificateFile {pair.certificate}
TLSCertificateKeyFile {pair.private_key}
"""
ROOT = "cn=root,dc=example,dc=org"
PEOPLE = "ou=people,dc=example,dc=org"
ENTRIES = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=service,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: service
userPassword: service-secret

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: One
mail: ann@example.org
userPassword: ann-secret

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Two
mail: twice@example.org
userPassword: bob-secret

dn: uid=odd\\2C *(name),ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: odd, *(name)
cn: Odd
sn: Three
mail: twice@example.org
userPassword: odd-secret

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=admins,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: admins
member: uid=ann,ou=people,dc=example,dc=org

dn: cn=plant\\2C north,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: plant, north
member: uid=ann,ou=people,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org
"""


@dataclass
class Slapd:
    """A running directory; it can be stopped and started again on the same ports."""

    directory: Path
    port: int
    tls_port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        assert SLAPD is not None
        urls = f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.tls_port}/"
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [SLAPD, "-f", str(self.directory / "slapd.conf"), "-h", urls, "-d", "none"],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline, "slapd does not listen"
                time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now; slapd cannot be told to let the system choose."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def slapd(directory: Path, ca: Path, pair: Pair) -> Iterator[Slapd]:
    if SLAPD is None:
        pytest.skip("slapd is not installed: THE DIRECTORY IS NOT TESTED")
    (directory / "data").mkdir()
    tls = TLS.format(ca=ca, pair=pair)
    config = CONFIG.format(schemas=SCHEMAS, directory=directory, tls=tls)
    (directory / "slapd.conf").write_text(config)
    subject = Slapd(directory, *free_ports(2))
    subject.start()
    try:
        # Through the server, not into its files: only so memberOf is kept.
        subprocess.run(
            f"ldapadd -x -H ldap://127.0.0.1:{subject.port} -D {ROOT} -w root-secret".split(),
            input=ENTRIES.encode(),
            check=True,
            capture_output=True,
        )
        yield subject
    finally:
        subject.stop()
