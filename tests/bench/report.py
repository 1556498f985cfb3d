"""What the benchmark of the backend found out, and how it says so."""

from dataclasses import dataclass, field


@dataclass
class Start:
    """One start of the backend.

    Attributes:
        ready_seconds: from the start of the process until its web half takes requests.
        settled_seconds: until the controllers have looked at everything.
        cpu_seconds: processor time until then.
        memory_mib: resident memory then.
        writes: of the backend at the API server, by verb and resource; Leases and questions left out.
        reads: likewise.
    """

    ready_seconds: float
    settled_seconds: float
    cpu_seconds: float
    memory_mib: float
    writes: dict[str, int]
    reads: dict[str, int]


@dataclass
class Logins:
    """Many logins at once.

    Attributes:
        count: how many.
        looking: browsers that loaded pages meanwhile; their share of the processor time is included.
        seconds: until the last one had its credential and had used it.
        steps: milliseconds by step.
        errors: what went wrong.
        cpu_ms: processor time of the backend per login, the export that each asks for included.
        requests: of the backend per login, likewise, by verb and resource.
        refused: requests of tenants that were answered with 403.
    """

    count: int
    looking: int
    seconds: float
    steps: dict[str, dict[str, float]]
    errors: dict[str, int]
    cpu_ms: float
    requests: dict[str, float]
    refused: int


@dataclass
class Pages:
    """Pages of the backend and a bare page, in the same minutes from one client.

    Attributes:
        load: what else was going on.
        browsers: how many loaded them, each one page after the other.
        pages: milliseconds by page; `bare` is the bare one.
        errors: what went wrong.
    """

    load: str
    browsers: int
    pages: dict[str, dict[str, float]]
    errors: dict[str, int]

    def factor(self, page: str, figure: str) -> float:
        """How much longer it took than the bare one."""
        return self.pages[page][figure] / self.pages["bare"][figure]


@dataclass
class Report:
    """All figures of a run."""

    tenants: int
    exports: int
    starts: list[Start] = field(default_factory=list)
    logins: list[Logins] = field(default_factory=list)
    pages: list[Pages] = field(default_factory=list)
    peak_mib: float = 0.0

    def text(self) -> str:
        """For people."""
        lines = [f"{self.tenants} tenants with {self.exports} exports each", ""]
        for start in self.starts:
            lines += [
                f"start: takes requests after {start.ready_seconds:.1f} s, settled after "
                f"{start.settled_seconds:.1f} s with {start.cpu_seconds:.1f} s processor time, "
                f"{start.memory_mib:.0f} MiB",
                f"  writes {_counted(start.writes)}",
                f"  reads {_counted(start.reads)}",
            ]
        for logins in self.logins:
            lines += [
                "",
                f"{logins.count} logins in flight beside {logins.looking} browsers on pages: "
                f"{logins.seconds:.1f} s, {sum(logins.errors.values())} errors, "
                f"{logins.refused} requests of tenants forbidden, {logins.cpu_ms:.0f} ms processor time and "
                f"{sum(logins.requests.values()):.1f} requests of the backend per login",
                *(f"  {n:4} x {what}" for what, n in logins.errors.items()),
                *(
                    f"  {what:14} p50 {one['p50']:7.0f} ms  p99 {one['p99']:7.0f} ms"
                    for what, one in logins.steps.items()
                ),
                *(f"  {n:6.2f}  {what}" for what, n in logins.requests.items()),
            ]
        for found in self.pages:
            lines += ["", f"{found.load}, {found.browsers} browsers:"]
            lines += [
                f"  {page:12} p50 {one['p50']:7.1f} ms ({found.factor(page, 'p50'):4.1f} x bare)  "
                f"p99 {one['p99']:7.1f} ms ({found.factor(page, 'p99'):4.1f} x bare)  {one['count']:6.0f} loads"
                for page, one in found.pages.items()
            ]
            lines += [f"  {n:4} x {what}" for what, n in found.errors.items()]
        lines += ["", f"memory of the backend at most {self.peak_mib:.0f} MiB"]
        return "\n".join(lines)

    def sound(self) -> bool:
        """Whether nothing failed and nobody was refused."""
        return not any(one.errors or one.refused for one in self.logins) and not any(
            one.errors for one in self.pages
        )


def _counted(found: dict[str, int]) -> str:
    return f"{sum(found.values())}: " + (", ".join(f"{n} {what}" for what, n in found.items()) or "none")
