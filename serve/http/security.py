"""The headers that tell browsers to do nothing with an answer but what its route is for."""

POLICY = b"content-security-policy"
# names and values: nothing here is made for a request
SECURITY_FIELDS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# of answers that are no pages; a page has a policy of its own
NO_PAGE = (
    POLICY,
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)


def security_fields(fields: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields to add to those of an answer."""
    for name, _ in fields:
        if name == POLICY:
            return SECURITY_FIELDS
    return *SECURITY_FIELDS, NO_PAGE
