"""The rooms of core/ use one another as the table "Rooms" of docs/architecture.md says, and never in a circle.

core_rooms_test.py ROOT
"""

import re
import sys
from pathlib import Path

ROW = re.compile(r"^\| `core/(\w+)` \|.*\|([^|]*)\|$")
INCLUDE = re.compile(r'^#include "(\w+)/')


def documented(page):
    """Room to the rooms that it may use."""
    rows = (ROW.match(line) for line in page.read_text().splitlines())
    return {row[1]: set(re.findall(r"\w+", row[2])) - {"SDK"} for row in rows if row}


def included(core):
    """(room, other room, file) for every header of one room that a file of another includes."""
    for file in sorted(core.glob("*/*.[ch]pp")):
        for line in file.read_text().splitlines():
            found = INCLUDE.match(line)
            if found and found[1] != file.parent.name and (core / found[1]).is_dir():
                yield file.parent.name, found[1], file


def circle(uses):
    """What is left when rooms that use nothing more are taken away, until none is."""
    left = dict(uses)
    while free := [room for room, others in left.items() if not others & left.keys()]:
        for room in free:
            del left[room]
    return sorted(left)


def main(root):
    uses = documented(root / "docs/architecture.md")
    used = {room: set() for room in uses}
    problems = []
    for room in sorted(folder.name for folder in (root / "core").iterdir() if folder.is_dir()):
        if room not in uses:
            problems.append(f"core/{room} is not in the table")
    for room, other, file in included(root / "core"):
        used.setdefault(room, set()).add(other)
        if other not in uses.get(room, ()):
            problems.append(f"{file.relative_to(root)}: {room} may not use {other}")
    for room, others in sorted(uses.items()):
        problems += [f"{room} does not use {other}" for other in sorted(others - used[room])]
    if rooms := circle(uses):
        problems.append("these rooms use one another in a circle: " + ", ".join(rooms))
    for problem in problems:
        print(f"core_rooms: {problem}", file=sys.stderr)
    return 1 if problems or not uses else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
