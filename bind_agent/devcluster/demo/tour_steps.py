"""The steps of the demonstration in their order."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bind_agent.devcluster.demo import tour_bind, tour_life, tour_setup
from bind_agent.devcluster.demo.tour_scene import Scene
from bind_agent.devcluster.demo.tour_setup import BACKEND, KONNECTOR, OPERATOR
from bind_agent.devcluster.issuer.launch import NAME as ISSUER


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story.

    Attributes:
        name: short name for programs.
        title: one line for people.
        work: does it.
        logs: programs whose logs tell why it failed.
    """

    name: str
    title: str
    work: Callable[[Scene], Awaitable[None]]
    logs: tuple[str, ...] = ()


CLUSTERS: Final = ("clusters", "Start a control plane cluster, an app cluster, and a sign-in service")
STOP: Final = ("stop", "Stop everything")
STEPS: Final = (
    Step(
        "backend",
        "Control plane: install the backend and run it, with its pages",
        tour_setup.backend,
        (BACKEND,),
    ),
    Step("service", "Control plane: offer PostgreSQL databases", tour_setup.service, (OPERATOR, BACKEND)),
    Step("grant", "Control plane: let the backend hand the service on", tour_setup.grant, (BACKEND,)),
    Step("konnector", "App cluster: install the konnector and run it", tour_setup.konnector, (KONNECTOR,)),
    Step(
        "bind",
        "App cluster: log in at the provider and bind the API",
        tour_bind.bind,
        (BACKEND, ISSUER, KONNECTOR),
    ),
    Step("create", "App cluster: ask for a database", tour_life.create, (KONNECTOR, OPERATOR)),
    Step("credentials", "App cluster: the credentials are there", tour_life.credentials, (KONNECTOR,)),
    Step("sql", "Use the database with credentials from the app cluster", tour_life.sql, (OPERATOR,)),
    Step("change", "App cluster: change the object", tour_life.change, (KONNECTOR, OPERATOR)),
    Step("delete", "App cluster: delete it; nothing is left", tour_life.delete, (KONNECTOR, OPERATOR)),
)
