"""The OpenID Connect client: what the web half needs of an issuer, in three calls."""

import asyncio
from types import TracebackType
from typing import Final, Self

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.backend.oidc import claims, flow, idtoken
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.discovery import TIMING, Discovery, Timing
from bind_agent.backend.oidc.errors import IssuerAway, LoginError, LoginRefused
from bind_agent.backend.oidc.exchange import Exchange
from bind_agent.backend.oidc.fetch import LIMITS, Fetcher, Limits
from bind_agent.backend.person import Person
from bind_agent.obs import metrics
from bind_agent.obs.logging import get_logger

log = get_logger(__name__)

LOGIN_SECONDS: Final = 30.0
"""For everything that a login asks of the issuer together, discovery included."""


class OidcClient:
    """One issuer, and this backend as a client of it.

    ```
    async with OidcClient(config) as oidc:
        url = await oidc.authorization_url(state=state, nonce=nonce, code_challenge=challenge(verifier))
        person = await oidc.login(code, code_verifier=verifier, nonce=nonce, issuer=iss)
    ```

    Entering the block asks nobody anything: a backend starts while its issuer is away. `run`, as a task beside
    it, keeps metadata and keys fresh; without it they are fetched when a login needs them.

    Attributes:
        config: as given.
    """

    def __init__(
        self,
        config: OidcConfig,
        *,
        clock: Clock = SYSTEM,
        timing: Timing = TIMING,
        limits: Limits = LIMITS,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            config: issuer and client.
            clock: where time comes from.
            timing: when the issuer is asked.
            limits: what its answers may cost.

        Raises:
            ValueError: the file with the certificate authorities cannot be used.
        """
        self.config = config
        self._clock = clock
        self._fetcher = Fetcher(config, limits)
        self._discovery = Discovery(self._fetcher, config.issuer_url, clock=clock, timing=timing)
        self._exchange = Exchange(self._fetcher, config)

    async def __aenter__(self) -> Self:
        await self._fetcher.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._fetcher.__aexit__(kind, error, trace)

    @property
    def trouble(self) -> str:
        """Why nobody can log in for now, as a sentence for people; empty when all is well."""
        return self._discovery.trouble

    async def run(self) -> None:
        """Keep metadata and keys fresh, for ever; never fails because the issuer is away."""
        await self._discovery.run()

    async def authorization_url(
        self, *, state: str, nonce: str, code_challenge: str, login_hint: str = ""
    ) -> str:
        """Where to send a browser to log in.

        Args:
            state: comes back with the answer, unchanged.
            nonce: `flow.new_nonce`; to be given to `login` again.
            code_challenge: `flow.challenge` of a `flow.new_verifier`, which `login` needs.
            login_hint: who probably logs in.

        Raises:
            IssuerAway: nothing is known of the issuer yet.
        """
        known = await self._discovery.known()
        return flow.authorization_url(
            known.metadata,
            self.config,
            state=state,
            nonce=nonce,
            code_challenge=code_challenge,
            login_hint=login_hint,
        )

    async def login(self, code: str, *, code_verifier: str, nonce: str, issuer: str | None = None) -> Person:
        """Redeem the code of a callback, and verify who logged in.

        Args:
            code: the parameter `code` of the callback.
            code_verifier: of this login.
            nonce: of this login.
            issuer: the parameter `iss` of the callback (RFC 9207), None when there is none.

        Raises:
            IssuerAway: the issuer does not answer, or not as it should.
            LoginRefused: the issuer refuses, or its answer is not to be believed.
        """
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                person = await self._login(code, code_verifier, nonce, issuer)
        except TimeoutError:
            metrics.LOGINS("IssuerSilent").inc()
            raise IssuerAway(
                "IssuerSilent", "The sign-in service does not answer in time. Try again in a minute."
            ) from None
        except LoginError as error:
            metrics.LOGINS(error.reason).inc()
            log.warning("login failed", reason=error.reason)
            raise
        metrics.LOGINS("success").inc()
        return person

    async def _login(self, code: str, verifier: str, nonce: str, issuer: str | None) -> Person:
        metadata = (await self._discovery.known()).metadata
        flow.check_callback(code, issuer, metadata)
        tokens = await self._exchange.redeem(metadata, code, verifier)
        token = idtoken.read(tokens.id_token)
        keys = await self._discovery.keys_for(token.algorithm, token.key_id)
        expected = idtoken.Expected(
            metadata.issuer, self.config.client_id, nonce, int(self._clock.now().timestamp())
        )
        try:
            found = idtoken.verify(token, keys, expected, access_token=tokens.access_token)
        except LoginRefused as refused:
            if refused.reason != idtoken.SIGNATURE_WRONG:
                raise
            newer = await self._discovery.newer_keys(keys)
            if newer is keys:
                raise
            found = idtoken.verify(token, newer, expected, access_token=tokens.access_token)
        claims.subject(found.get("sub"))
        missing = claims.lacks(found, groups_claim=self.config.groups_claim)
        if missing and metadata.userinfo_endpoint and tokens.access_token is not None:
            more = await self._exchange.userinfo(metadata, tokens.access_token)
            if more is not None:
                found = claims.completed(found, more)
        return claims.person(found, groups_claim=self.config.groups_claim)
