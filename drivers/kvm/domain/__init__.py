"""Domain XML, both ways: `build` makes it of a DesiredVM, `observe` makes an ObservedVM of it. Pure."""
