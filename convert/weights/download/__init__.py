"""Public weights: fetched once over HTTPS, verified, kept, and verified again at each use.

`dial` connects within a few seconds or not at all, `http` asks, `transfer` brings one file and goes
on where it stopped, `plan` resolves a repository, `store` keeps and verifies, `progress` tells.
Standard library only: what `requests` or `httpx` add to it (pools, cookies, retries) is not needed
here, and neither bounds the time that resolving a name and trying all its addresses takes.
"""

from convert.weights.download.http import Network
from convert.weights.download.store import Fetched, Store, cache_directory

__all__ = ["Fetched", "Network", "Store", "cache_directory"]
