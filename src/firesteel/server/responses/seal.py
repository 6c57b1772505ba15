"""Text that goes through the caller's hands and comes back: thoughts and summaries as `encrypted_content`.

It is not secret, since thoughts are visible here. A seal proves that this server wrote the text for this caller: what
is foreign, damaged or somebody else's does not open. The form is base64url of 16 bytes of HMAC-SHA256 and the text,
compressed. The secret lies in the store, so that it outlives restarts and all replicas share it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
import zlib

from firesteel.server.service import Service
from firesteel.server.store import File

_OWNER, _ID = "", "secret"  # no caller's owner is empty
_MAC = 16  # bytes


class Seals:
    """Seals and opens texts once `ready` was awaited."""

    def __init__(self, service: Service) -> None:
        self._store, self._secret = service.store, b""

    async def ready(self) -> Seals:
        if not self._secret:
            secret = await self._store.file_data(_OWNER, _ID)
            if secret is None:
                made = secrets.token_bytes(32)
                file = File(
                    id=_ID,
                    owner=_OWNER,
                    created=time.time(),
                    name="secret",
                    purpose="secret",
                    media_type="application/octet-stream",
                    bytes=len(made),
                )
                secret = await self._store.add_file(file, made)  # another replica may have been faster
            self._secret = secret
        return self

    def seal(self, owner: str, purpose: str, text: str) -> str:
        data = zlib.compress(text.encode("utf-8", "replace"), 9)
        return base64.urlsafe_b64encode(self._mac(owner, purpose, data) + data).decode()

    def open(self, owner: str, purpose: str, sealed: str) -> str | None:
        """The text, or None for what was not sealed here, for this owner and purpose."""
        try:
            given = base64.b64decode(sealed.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, data = given[:_MAC], given[_MAC:]
        if not hmac.compare_digest(mac, self._mac(owner, purpose, data)):
            return None
        return zlib.decompress(data).decode()

    def _mac(self, owner: str, purpose: str, data: bytes) -> bytes:
        assert self._secret, "the secret was not read yet"
        named = f"{len(owner)}:{owner}{purpose}:".encode("utf-8", "replace") + data
        return hmac.new(self._secret, named, hashlib.sha256).digest()[:_MAC]
