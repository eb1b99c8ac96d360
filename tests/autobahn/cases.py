"""The case classes of Autobahn's test suite, read from the package as it is published and run by Python 3.

The suite is written for Python 2, where a string is a string of bytes. Here every one of its strings is a text whose characters are bytes
(Latin-1): its sources are read so, and so the peer gives and takes payloads. Beyond that it needs a handful of names that are no more, and a
few classes of the WebSocket library below it, of which it uses no more than what is in this file.
"""

import codecs
import importlib.abc
import importlib.util
import pathlib
import re
import sys
import types

# What the cases call the state of a connection.
CLOSED, CONNECTING, CLOSING, OPEN = range(4)

REPLACED = [
    # `print` is a statement there.
    (re.compile(r"^(\s*)print\b(?!\()(.*)$", re.M), r"\1pass"),
    # All classes are new ones here, and a base stands behind what is derived from it.
    (re.compile(r"\(object, Case, \)"), "(Case, )"),
    # Whole numbers are divided to whole numbers there.
    (re.compile(r"\) / self\."), ") // self."),
    (re.compile(r"\bbinascii\.(b2a_hex|hexlify)\("), "as_hex("),
]


def as_hex(data):
    return (data if isinstance(data, bytes) else data.encode("latin-1")).hex()


class WebSocketProtocol:
    """The names that cases take from the protocol class of the library below the suite."""

    STATE_CLOSED, STATE_CONNECTING, STATE_CLOSING, STATE_OPEN = CLOSED, CONNECTING, CLOSING, OPEN
    MESSAGE_TYPE_TEXT, MESSAGE_TYPE_BINARY = 1, 2
    CLOSE_STATUS_CODE_NORMAL = 1000
    CLOSE_STATUS_CODE_GOING_AWAY = 1001
    CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1002
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007


class Utf8Validator:
    """Says of texts of bytes whether they are UTF-8, and whether they end at the end of a character."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def validate(self, text):
        try:
            self.decoder.decode(text.encode("latin-1"))
        except UnicodeDecodeError:
            return False, False
        return True, not self.decoder.getstate()[0]


class PerMessageDeflateOffer:
    """What a client offers of RFC 7692. By default it can do without context takeover and with smaller windows, and asks for neither."""

    def __init__(
        self,
        acceptNoContextTakeover=True,
        acceptMaxWindowBits=True,
        requestNoContextTakeover=False,
        requestMaxWindowBits=0,
    ):
        self.acceptNoContextTakeover = acceptNoContextTakeover
        self.acceptMaxWindowBits = acceptMaxWindowBits
        self.requestNoContextTakeover = requestNoContextTakeover
        self.requestMaxWindowBits = requestMaxWindowBits

    def __str__(self):
        words = ["permessage-deflate"]
        if self.acceptNoContextTakeover:
            words.append("client_no_context_takeover")
        if self.acceptMaxWindowBits:
            words.append("client_max_window_bits")
        if self.requestNoContextTakeover:
            words.append("server_no_context_takeover")
        if self.requestMaxWindowBits:
            words.append(f"server_max_window_bits={self.requestMaxWindowBits}")
        return "; ".join(words)


def modules(root):
    """The modules below the cases, as far as they use them."""

    def module(name, **names):
        made = types.ModuleType(name)
        vars(made).update(names)
        return made

    none = type("Unused", (), {})
    compress = {"PerMessageDeflateOffer": PerMessageDeflateOffer}
    compress |= dict.fromkeys(
        ["PerMessageDeflateOfferAccept", "PerMessageDeflateResponse", "PerMessageDeflateResponseAccept"], none
    )
    return [
        module("autobahn"),
        module("autobahn.websocket"),
        module("autobahn.websocket.protocol", WebSocketProtocol=WebSocketProtocol),
        module("autobahn.websocket.utf8validator", Utf8Validator=Utf8Validator),
        module("autobahn.websocket.compress", **compress),
        module("pkg_resources", resource_filename=lambda _package, path: str(root / path)),
        # Only a case that is not among the cases names these.
        module("zope"),
        module("zope.interface", implements=lambda *_: None),
        module("twisted"),
        module("twisted.internet", reactor=None, interfaces=types.SimpleNamespace(IPushProducer=None)),
    ]


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the cases, which name each other without their package."""

    def __init__(self, directory):
        self.directory = directory

    def find_spec(self, name, _path, _target=None):
        path = self.directory / ("__init__.py" if name == "autobahn_cases" else f"{name}.py")
        return importlib.util.spec_from_file_location(name, path, loader=self) if path.is_file() else None

    def create_module(self, _spec):
        return None

    def exec_module(self, module):
        source = pathlib.Path(module.__file__).read_bytes().decode("latin-1")
        source = re.sub(r"^#.*coding[:=].*$", "#", source, count=2, flags=re.M)
        for pattern, replacement in REPLACED:
            source = pattern.sub(replacement, source)
        vars(module).update(xrange=range, unichr=chr, as_hex=as_hex)
        # Their backslashes are theirs.
        exec(compile(source, module.__file__, "exec", dont_inherit=True), vars(module))


def load(root):
    """All cases of the suite that is unpacked at `root`: their classes by id, such as `6.4.1`."""
    for module in modules(root):
        sys.modules[module.__name__] = module
    sys.meta_path.append(Finder(root / "case"))
    suite = importlib.import_module("autobahn_cases")
    # The suite compares what it has with what it wants by their serialised forms, which tell two equal texts from one text twice.
    suite.Case.compare = lambda _self, one, other: one == other
    return {case.__name__.removeprefix("Case").replace("_", "."): case for case in suite.Cases}
