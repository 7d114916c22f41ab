"""How messages are cut, where they come, and whose they are."""

import uuid

import wsman
from wsman import fragment, fragments, message

from . import HARMLESS, MARKED, REMOVE, MARK, Stage, Trick, has_arrived, listing, pipeline, whole


def parts(x: wsman.Session, at: uuid.UUID, load: str, size: int = 700) -> list[bytes]:
    return fragments(message(wsman.CREATE, x.shell, at, pipeline(load)), size, x.next())


def sent(x: wsman.Session, at: uuid.UUID, pieces: list[bytes]) -> None:
    """The first in `Arguments`, the others as input."""
    x.command(pieces[0], at)
    for it in pieces[1:]:
        x.send(it, at)


def in_pieces(load: str):
    def run(stage: Stage):
        x, at = stage.session(), uuid.uuid4()
        sent(x, at, parts(x, at, load))
        return x, at

    return run


def honest_pieces(stage: Stage) -> None:
    x, at = in_pieces(HARMLESS)(stage)
    assert x.ended(at) == 4


def header_split(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    data = whole(x, at, pipeline(MARKED))
    sent(x, at, [data[:13], data[13:]])


def header_split_behind_a_pipeline(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    second = whole(x, None, pipeline(REMOVE))
    sent(x, at, [whole(x, at, pipeline(takes_input=True)) + second[:40], second[40:]])


def restart(number: int):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        begun = parts(x, at, HARMLESS)
        sent(x, at, begun[:2] + [fragment(message(wsman.CREATE, x.shell, at, pipeline(REMOVE)), number)])

    return run


def restart_and_end(stage: Stage) -> None:
    """Who keeps the first start and drops the second has something harmless in hand."""
    x, at = stage.session(), uuid.uuid4()
    harmless, bad = parts(x, at, HARMLESS), parts(x, at, REMOVE)
    sent(x, at, [harmless[0] + bad[0], *bad[1:]])


def odd_numbers(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    data = message(wsman.CREATE, x.shell, at, pipeline(MARKED))
    sent(x, at, [fragment(data[:900], 9, 7, 1), fragment(data[900:], 9, 8, 2)])


def interleaved(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    harmless = parts(x, at, HARMLESS, 1500)
    sent(x, at, [harmless[0], whole(x, at, pipeline(REMOVE), 77), *harmless[1:]])


def with_empty_fragments(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    data = message(wsman.CREATE, x.shell, at, pipeline(MARKED))
    sent(x, at, [fragment(data[:900], 9, 0, 1), fragment(b"", 9, 1, 0), fragment(data[900:], 9, 2, 2)])


def numbered(number: int):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        x.command(whole(x, at, pipeline(MARKED), number), at)

    return run


def flagged(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(fragment(message(wsman.CREATE, x.shell, at, pipeline(MARKED)), 3, 0, 0x83), at)


def two_in_arguments(second_for_pool: bool):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        x.command(whole(x, at, pipeline()) + whole(x, None if second_for_pool else at, pipeline(REMOVE)), at)

    return run


def behind_creation(stage: Stage) -> None:
    x = wsman.Session(stage.wire())
    x.open(whole(x, None, pipeline(REMOVE), 3))


def into_shell(stream: str):
    def run(stage: Stage) -> None:
        x = stage.session()
        x.send(whole(x, None, pipeline(REMOVE)), stream=stream)

    return run


def into_command(stream: str):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        x.start(pipeline(takes_input=True), at)
        x.send(whole(x, None, pipeline(REMOVE)), at, stream)

    return run


def under_another_command(stage: Stage) -> None:
    x, cover, at = stage.session(), uuid.uuid4(), uuid.uuid4()
    x.start(pipeline(takes_input=True), cover)
    # The first message names the pipeline of a command, whatever it is.
    x.command(whole(x, at, "", kind=wsman.END_OF_INPUT), at)
    x.send(whole(x, at, pipeline(REMOVE)), cover)


def of_another_id(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(whole(x, uuid.uuid4(), pipeline(MARKED)), at)


def of_another_pool(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(fragment(message(wsman.CREATE, uuid.uuid4(), at, pipeline(MARKED)), 3), at)


def for_the_client(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(fragment(message(wsman.CREATE, x.shell, at, pipeline(MARKED), destination=1), 3), at)


def for_nobody(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(fragment(message(wsman.CREATE, x.shell, at, pipeline(MARKED), destination=7), 3), at)


LISTING = listing("Get-*")
LONG = "*" * 300


def behind_metadata(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(whole(x, at, LISTING, kind=wsman.METADATA) + whole(x, None, pipeline(REMOVE)), at)


def under_metadata(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(LISTING, at, wsman.METADATA)
    x.send(whole(x, None, pipeline(REMOVE)), at)


def honest_listing(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(LISTING, at, wsman.METADATA)
    assert x.ended(at) == 4


def long_pattern(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    if x.start(listing(LONG + "x"), at, wsman.METADATA).status == 200:
        x.ended(at)


def behind_end_of_input(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(takes_input=True), at)
    x.send(whole(x, at, "", kind=wsman.END_OF_INPUT) + whole(x, None, pipeline(REMOVE)), at)


def honest_input(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    x.send(whole(x, at, "<S>x</S>", kind=wsman.INPUT) + whole(x, at, "", kind=wsman.END_OF_INPUT), at)
    assert x.ended(at) == 4


def input_under_another(stage: Stage) -> None:
    x, first, second = stage.session(), uuid.uuid4(), uuid.uuid4()
    for at in (first, second):
        x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    x.send(whole(x, first, f"<S>{MARK}</S>", kind=wsman.INPUT) + whole(x, first, "", kind=wsman.END_OF_INPUT), second)


def input_into_shell(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    x.send(whole(x, at, f"<S>{MARK}</S>", kind=wsman.INPUT) + whole(x, at, "", kind=wsman.END_OF_INPUT))


def input_unasked(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    x.send(whole(x, at, "", kind=wsman.END_OF_INPUT) + whole(x, at, f"<S>{MARK}</S>", kind=wsman.INPUT), at)


def input_of_program_text(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    x.send(whole(x, at, f"<SBK>{MARK}</SBK>", kind=wsman.INPUT) + whole(x, at, "", kind=wsman.END_OF_INPUT), at)


def input_for_what_is_blocked(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(wsman.command("Remove-Mailbox", wsman.argument("Confirm", '<B N="V">false</B>')), takes_input=True), at)
    x.send(whole(x, at, "<S>x</S>", kind=wsman.INPUT) + whole(x, at, "", kind=wsman.END_OF_INPUT), at)


TRICKS = [
    Trick("a pipeline in pieces", in_pieces(REMOVE), control=honest_pieces),
    Trick("a fragment's header in two requests", header_split),
    Trick("half a second pipeline behind the first, the rest later", header_split_behind_a_pipeline),
    Trick("a message begun and left for another", restart(77)),
    Trick("a message begun again under its number", restart(4)),
    Trick("two starts in one payload", restart_and_end),
    Trick("fragments that begin at 7", odd_numbers),
    Trick("one message inside of another", interleaved, fools=True),
    Trick("fragments of no bytes", with_empty_fragments),
    Trick("message number 0", numbered(0), fools=False),
    Trick("message number 2^63", numbered(1 << 63), fools=False),
    Trick("flags that nobody knows", flagged),
    Trick("two pipelines in one Arguments, the second for the pool", two_in_arguments(True)),
    Trick("two pipelines in one Arguments, both of one id", two_in_arguments(False), fools=False),
    Trick("a pipeline in creationXml", behind_creation),
    Trick("a pipeline on the shell's stdin", into_shell("stdin")),
    Trick("a pipeline on the shell's pr", into_shell("pr")),
    Trick("a pipeline on another command's stdin", into_command("stdin"), control=honest_input),
    Trick("a pipeline on another command's pr", into_command("pr")),
    Trick("a pipeline under another command", under_another_command),
    Trick("a pipeline of another id than its command", of_another_id),
    Trick("a pipeline of another pool", of_another_pool),
    Trick("a pipeline for the client", for_the_client),
    Trick("a pipeline for nobody", for_nobody),
    Trick("a pipeline behind a listing of commands", behind_metadata, control=honest_listing),
    Trick("a pattern that takes long to match", long_pattern, worked=lambda stage: has_arrived(stage, LONG), control=honest_listing),
    Trick("a pipeline as input of a listing of commands", under_metadata, control=honest_listing),
    Trick("a pipeline behind the end of input", behind_end_of_input, control=honest_input),
    Trick("input of one pipeline under another", input_under_another, control=honest_input),
    Trick("input of a pipeline on the shell's stream", input_into_shell, control=honest_input),
    Trick("input behind the end of input", input_unasked, control=honest_input),
    Trick("program text as input", input_of_program_text, control=honest_input),
    Trick("input for a cmdlet that is blocked", input_for_what_is_blocked, control=honest_input),
]
