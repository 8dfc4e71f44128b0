"""uvicorn's h11 protocol with the deadlines that it does not have."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class DeadlineH11Protocol(H11Protocol):
    """Closes a connection whose headers do not arrive, or whose answer is not read, in time."""

    header_timeout: float = 5.0
    write_timeout: float = 30.0
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

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

    def pause_writing(self) -> None:
        """The client does not read, and what it left unread fills the buffers."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._forget_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._disarm()
        self._forget_unread()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_timeout, self.transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def with_timeouts(headers: float, writes: float) -> type[DeadlineH11Protocol]:
    """The protocol class with these deadlines, for uvicorn's ``http`` argument."""
    members = {"header_timeout": headers, "write_timeout": writes}
    return type("ConfiguredProtocol", (DeadlineH11Protocol,), members)
