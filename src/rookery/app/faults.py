"""What a node cannot start with, told in one line to whoever started it."""

from rookery.auth.watch import FileFault
from rookery.net.certificates.options import TlsFileFault
from rookery.net.listening import ListenFault
from rookery.observe.http import ListenError
from rookery.ports import NotStarted
from rookery.store.faults import StoreFault

START_FAULTS = (FileFault, ListenFault, ListenError, NotStarted, StoreFault, TlsFileFault)
