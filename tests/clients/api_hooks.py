"""What a client of the management API knows beyond its description, for the requests that schemathesis makes up."""

import itertools

import schemathesis

# Tasks that the test's policies govern: the first is granted at once.
GOVERNED = itertools.cycle([r"Exchange\Set-Mailbox", r"Exchange\Set-Mailbox", r"Exchange\New-MoveRequest", r"Exchange\Remove-Mailbox"])

NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Makes a request that is right by the description one that also makes sense here; what is made wrong stays as it is."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # A key names one write, so each write gets its own. That a key does not pass for two writes has tests of its own.
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"key-{next(NUMBERS)}"
    # Half of the requests are for what there is a policy for, with a reason; for how long and so on stays made up.
    if case.operation.label == "POST /api/v1/requests" and isinstance(case.body, dict) and next(NUMBERS) % 2:
        kept = {name: case.body[name] for name in ("duration_seconds", "external_identity", "context") if name in case.body}
        case.body = {**kept, "task": next(GOVERNED), "reason": f"made up {next(NUMBERS)}"}
