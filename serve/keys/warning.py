"""Say that everybody may use the server."""

from ipaddress import ip_address

from serve.settings import Settings


def open_to_all(settings: Settings) -> str:
    """Return a sentence if others than this machine reach a server without keys; else ""."""
    if settings.api_keys_file or is_loopback(settings.host):
        return ""
    return (
        f"WARNING: whoever reaches {settings.host} port {settings.port} may use this server: it "
        "asks for no API key (SLIPWAY_API_KEYS_FILE)"
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address to listen on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
