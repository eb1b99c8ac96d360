"""The pages of docs/ that are tested: their blocks of code, by page, heading and language."""

import dataclasses
import re

from server import ROOT

PAGES = ["sse.md", "poll.md", "ws.md", "publish.md", "proxies.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code. `name` is page, heading and language, and a number if there are several: `sse.md/Node/js`."""

    name: str
    language: str
    text: str


def read(page):
    text = (ROOT / "docs" / page).read_text()
    blocks, heading, at, seen = [], "", 0, {}
    for fence in FENCE.finditer(text):
        for found in HEADING.finditer(text, at, fence.start()):
            heading = found[1]
        at = fence.end()
        base = f"{page}/{heading}/{fence[1]}"
        seen[base] = seen.get(base, 0) + 1
        name = base if seen[base] == 1 else f"{base}/{seen[base]}"
        blocks.append(Block(name, fence[1], fence[2]))
    return blocks


def all_blocks():
    return {block.name: block for page in PAGES for block in read(page)}


def plain(text):
    """Output of today as that of any day: ids, addresses and times are different each time."""
    text = re.sub(r"(?<![\w-])[A-Za-z0-9_-]{24}(?![\w-])", "ID", text)
    text = re.sub(r'("time": ?)\d{10}\b', r'\1TIME', text)
    return re.sub(r"^retry: [1-5]\d{3}$", "retry: MS", text, flags=re.MULTILINE)
