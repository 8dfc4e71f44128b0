"""uvicorn's h11 protocol with a deadline for the headers, which it does not have."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class DeadlineH11Protocol(H11Protocol):
    """Closes a connection whose request line and headers take too long to arrive."""

    header_timeout: float = 5.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The time runs from the connection on."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """The time runs while headers are incomplete; bodies have their own deadline."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._arm()
        else:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_timeout, self.transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def with_header_timeout(seconds: float) -> type[DeadlineH11Protocol]:
    """The protocol class with this deadline, for uvicorn's ``http`` argument."""
    return type("ConfiguredProtocol", (DeadlineH11Protocol,), {"header_timeout": seconds})
