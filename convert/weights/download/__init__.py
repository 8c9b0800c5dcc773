"""Public weights: downloaded once over HTTPS, verified, cached, and verified again at each use.

`connect` opens a connection within a few seconds or not at all, `http` sends requests, `transfer`
downloads one file and resumes it, `plan` lists the files of a source, `store` caches and verifies
them, `progress` shows how far a download is.

Standard library only. `requests` and `httpx` do not bound the time of a name lookup and of trying
all addresses of a host; huggingface_hub and pooch do not verify or resume as `transfer` does
(convert/DECISIONS.md has the measurements).
"""

from convert.weights.download.http import Network
from convert.weights.download.store import Fetched, Store, cache_directory

__all__ = ["Fetched", "Network", "Store", "cache_directory"]
