//! One strict JSON reader (RFC 8259) for everything that clients send: stub, filled by the dialect's author.
