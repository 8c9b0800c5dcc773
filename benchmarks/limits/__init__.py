"""Memory and latency of the server in a cgroup with a limit of memory and of CPUs."""
