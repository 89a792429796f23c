"""Signs pins and tokens by docs/pins.md, without any code of the filter."""

import base64
import hashlib
import hmac


def sealed(kind: str, key: bytes, key_id: str, app: str, value: str) -> str:
    """A signed pin (of `v1~ISSUED~EPOCH~SLOT`) or token (of `v1~EXPIRES`)."""
    prefix, mark = {"pin": ("pinion1", ""), "token": ("pinion1-override", "~override")}[kind]
    message = "|".join([prefix, app, *value.split("~"), key_id])
    mac = hmac.new(key, message.encode(), hashlib.sha256).digest()[:16]
    return f"{value}{mark}~{key_id}~{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
