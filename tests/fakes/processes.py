"""Which processes a program has started, to prove later that none of them is left."""

from collections import defaultdict
from pathlib import Path

from bind_agent.devcluster.state import ProcessId


def descendants(pid: int) -> set[ProcessId]:
    """All processes below one, at this moment."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
            children[parent].append(int(entry.name))
    found: set[ProcessId] = set()
    waiting = [pid]
    while waiting:
        for child in children[waiting.pop()]:
            waiting.append(child)
            try:
                found.add(ProcessId.of(child))
            except ProcessLookupError:  # ended meanwhile
                continue
    return found


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The program's name stands in parentheses and may hold anything, parentheses included.
    return int(stat.rpartition(b")")[2].split()[1])
