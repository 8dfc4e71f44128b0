"""Places in a list that clients hand back: signed, so that nobody makes up his own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct

from service.problems import Kinds, Problem

_SIGNATURE = 16
_NUMBER = struct.Struct("!Q")


class Cursors:
    """Makes and reads cursors; one for another list, or another owner, is refused."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, purpose: str, number: int) -> str:
        """The cursor of a place in the list named by ``purpose``."""
        content = _NUMBER.pack(number)
        return base64.urlsafe_b64encode(content + self._sign(purpose, content)).decode()

    def read(self, purpose: str, cursor: str) -> int:
        """The place; raises :class:`Problem` when the cursor is not one of ours."""
        try:
            raw = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raw = b""
        content, signature = raw[: _NUMBER.size], raw[_NUMBER.size :]
        canonical = base64.urlsafe_b64encode(raw).decode() == cursor
        if not (canonical and hmac.compare_digest(signature, self._sign(purpose, content))):
            raise Problem(Kinds.BAD_CURSOR, "Send the next_cursor of the page before, unchanged.")
        number: int = _NUMBER.unpack(content)[0]
        return number

    def _sign(self, purpose: str, content: bytes) -> bytes:
        message = purpose.encode() + b"\0" + content
        return hmac.digest(self._secret, message, hashlib.sha256)[:_SIGNATURE]
