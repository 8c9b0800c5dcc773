"""Small text functions: quoting of user input, integers."""
