"""Metadata and keys of the issuer: fetched when needed, refreshed in the background, kept while it is away."""

import random
from dataclasses import dataclass, field, replace
from typing import Final

from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.aio.singleflight import SingleFlight
from bind_agent.backend.oidc import keys, metadata
from bind_agent.backend.oidc.errors import IssuerAway
from bind_agent.backend.oidc.fetch import Answer, Fetcher
from bind_agent.backend.oidc.keys import Keys
from bind_agent.backend.oidc.metadata import Metadata
from bind_agent.obs import metrics
from bind_agent.obs.logging import get_logger

log = get_logger(__name__)

_UNASKED: Final = IssuerAway(
    "IssuerUnasked", "The sign-in service has not answered yet. Try again in a minute."
)


@dataclass(frozen=True, slots=True)
class Timing:
    """When the issuer is asked, in seconds.

    Attributes:
        refresh: age at which what is known is fetched again.
        oldest: age up to which it is used while the issuer does not answer; a key that has not been confirmed
            for longer is not trusted any more.
        pause: least time between failed attempts that logins cause.
        unknown_key: least time between fetches of the keys that an unknown key id or signature causes, or
            anybody could have the issuer asked as often as they like.
        retry: waits of the background task while the issuer is away.
    """

    refresh: float = 3600.0
    oldest: float = 86_400.0
    pause: float = 1.0
    unknown_key: float = 10.0
    retry: Policy = field(default_factory=lambda: Policy(first=1.0, cap=60.0))


TIMING: Final = Timing()


@dataclass(frozen=True, slots=True)
class Known:
    """What the issuer said about itself.

    Attributes:
        metadata: checked.
        keys: usable ones.
        fetched_at: when all of it was fetched together; keys alone may be fresher.
    """

    metadata: Metadata
    keys: Keys
    fetched_at: float


class Discovery:
    """What is known of one issuer.

    Attributes:
        trouble: why the issuer could not be asked last time, for people; empty when it could.
    """

    def __init__(
        self, fetcher: Fetcher, issuer: str, *, clock: Clock = SYSTEM, timing: Timing = TIMING
    ) -> None:
        """Nothing is asked yet.

        Args:
            fetcher: does the requests.
            issuer: URL of the issuer.
            clock: where time comes from.
            timing: when to ask.
        """
        self._fetcher = fetcher
        self._issuer = issuer
        self._clock = clock
        self._timing = timing
        self._known: Known | None = None
        self._failure: IssuerAway | None = _UNASKED
        self._not_before = clock.monotonic()
        self._keys_not_before = clock.monotonic()
        self._kept_fresh = False
        self._flights: SingleFlight[str, Known] = SingleFlight()

    @property
    def trouble(self) -> str:
        """Why the issuer could not be asked last time; empty when it could."""
        return self._failure.message if self._failure is not None else ""

    async def known(self) -> Known:
        """Metadata and keys: what is known, or fetched now when that is missing or old.

        Raises:
            IssuerAway: the issuer does not answer, and nothing is known that may still be used.
        """
        known = self._known
        if known is not None and self._age(known) < self._serves():
            return known
        try:
            return await self._flights.do("all", self._fetch_unless_just_failed)
        except IssuerAway:
            if known is None or self._age(known) >= self._timing.oldest:
                raise
            return known

    async def keys_for(self, algorithm: str, key_id: str) -> Keys:
        """Keys among which is one for a token, if the issuer has it: they are fetched again once when not.

        Args:
            algorithm: of the token's header.
            key_id: of the token's header.

        Raises:
            IssuerAway: they have to be fetched, and the issuer does not answer.
        """
        known = await self.known()
        if known.keys.fitting(algorithm, key_id) or self._clock.monotonic() < self._keys_not_before:
            return known.keys
        return (await self._flights.do("keys", lambda: self._fetch_keys(known))).keys

    async def newer_keys(self, than: Keys) -> Keys:
        """Keys to try when a signature fits none of the known ones: fetched again, unless that was just done.

        An issuer that numbers its keys not at all, or each new one alike, cannot be asked for a key by its id.

        Args:
            than: the keys that did not fit.

        Raises:
            IssuerAway: they have to be fetched, and the issuer does not answer.
        """
        known = await self.known()
        if known.keys is not than or self._clock.monotonic() < self._keys_not_before:
            return known.keys
        return (await self._flights.do("keys", lambda: self._fetch_keys(known))).keys

    async def run(self) -> None:
        """Keep metadata and keys fresh, for ever; an issuer that is away is asked again and again."""
        backoff = Backoff(self._timing.retry)
        self._kept_fresh = True
        try:
            while True:
                await self._clock.sleep(await self._refreshed(backoff))
        finally:
            self._kept_fresh = False

    async def _refreshed(self, backoff: Backoff) -> float:
        try:
            await self._flights.do("all", self._fetch)
        except IssuerAway:
            return backoff.next()
        backoff.reset()
        # Not all replicas at once.
        return self._timing.refresh * random.uniform(0.7, 0.9)  # noqa: S311 - nothing secret

    def _serves(self) -> float:
        # While the background task asks, a login does not wait for an issuer that may be slow to say nothing.
        return self._timing.oldest if self._kept_fresh else self._timing.refresh

    def _age(self, known: Known) -> float:
        return self._clock.monotonic() - known.fetched_at

    async def _fetch_unless_just_failed(self) -> Known:
        if self._failure is not None and self._clock.monotonic() < self._not_before:
            raise IssuerAway(self._failure.reason, self._failure.message)
        return await self._fetch()

    async def _fetch(self) -> Known:
        try:
            document = _document(await self._fetcher.get("discovery", metadata.address(self._issuer)))
            found = metadata.parse(document, self._issuer)
            return self._learned(Known(found, await self._read_keys(found), self._clock.monotonic()))
        except IssuerAway as error:
            self._failed(error)
            raise

    async def _fetch_keys(self, known: Known) -> Known:
        try:
            return self._learned(replace(known, keys=await self._read_keys(known.metadata)))
        except IssuerAway as error:
            self._failed(error)
            raise

    async def _read_keys(self, found: Metadata) -> Keys:
        self._keys_not_before = self._clock.monotonic() + self._timing.unknown_key
        return keys.parse(_document(await self._fetcher.get("keys", found.jwks_uri)))

    def _learned(self, known: Known) -> Known:
        if self._failure is not None:
            log.info("the issuer answers", issuer=self._issuer)
        self._failure = None
        self._known = known
        metrics.OIDC_CONFIRMED().set(self._clock.now().timestamp())
        return known

    def _failed(self, error: IssuerAway) -> None:
        # Once per state, not once per attempt.
        if self._failure is None or self._failure.message != error.message:
            log.warning("the issuer is away", issuer=self._issuer, reason=error.reason, message=error.message)
        self._failure = error
        self._not_before = self._clock.monotonic() + self._timing.pause


def _document(answer: Answer) -> dict[str, object]:
    found = answer.document() if answer.status == 200 else None
    if found is None:
        what = "no JSON" if answer.status == 200 else f"the status {answer.status}"
        raise IssuerAway(
            "IssuerMisbehaves",
            f"The sign-in service answers with {what} where it should describe itself. Try again in a minute; if"
            " that does not help, the operator of this server has to look into it.",
        )
    return found
