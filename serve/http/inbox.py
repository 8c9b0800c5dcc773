"""The receiving half of a connection: bytes that are not parsed yet, and their slices."""

from serve.http.framing import END, end_of_slice

KEPT = len(END) - 1  # bytes before a slice, in which END may begin


class Inbox:
    """Bytes that were received and not parsed yet."""

    __slots__ = ("_data", "_position", "_tail", "is_empty")

    def __init__(self) -> None:
        """Start empty."""
        self._data = b""
        self._position = 0
        self.is_empty = True
        self._tail = b""  # the last bytes before the position

    def __len__(self) -> int:
        return len(self._data) - self._position

    def add(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._data = data if self.is_empty else self._data[self._position :] + data
        self._position = 0
        self.is_empty = not data

    def clear(self) -> None:
        """Forget everything."""
        self._data, self._position, self.is_empty = b"", 0, True

    def take(self, size_bytes: int) -> bytes | memoryview:
        """Return the next bytes, at most so many."""
        self._tail = b""
        return self._take(min(len(self._data), self._position + size_bytes))

    def take_to_end(self, limit: int) -> bytes | memoryview:
        """Return the next bytes, no further than the end of a head, and at most `limit`."""
        start = self._position
        end = end_of_slice(self._data, start, self._tail, limit)
        self._tail = (self._tail + self._data[max(start, end - KEPT) : end])[-KEPT:]
        return self._take(end)

    def _take(self, end: int) -> bytes | memoryview:
        data, start = self._data, self._position
        if end == len(data):
            self.clear()
        else:
            self._position = end
        return data if (start, end) == (0, len(data)) else memoryview(data)[start:end]
