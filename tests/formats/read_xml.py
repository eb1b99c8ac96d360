"""Reads an answer of format xml or xml-strict from standard input and prints its events as arrays of [name, value].

The argument says which: xml-strict must be a document of its own, xml becomes one inside a root element.
"""

import json
import sys
import xml.etree.ElementTree as tree

document = sys.stdin.buffer.read()
if sys.argv[1] == "xml":
    document = b"<pushlet>" + document + b"</pushlet>"
root = tree.fromstring(document)
assert root.tag == "pushlet" and not root.text and not root.attrib, root
for event in root:
    assert event.tag == "event" and not event.text and not event.tail and len(event) == 0, event
print(json.dumps([list(event.attrib.items()) for event in root]))
