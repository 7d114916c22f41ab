"""Other people's shells, ids used twice, requests sent again, sessions left and taken up."""

import uuid

import wsman
from wsman import ENUMERATION, PWSH, RSP, TRANSFER, command_line, encoded, envelope, message

from . import (
    ANA, BEA, EVE, HARMLESS, MARK, MARKED, REMOVE, UNA, Stage, Trick, has_arrived, pipeline, ran_what_is_marked, whole,
)


def in_anothers_shell(stage: Stage) -> wsman.Session:
    """Eve's session with the shell of Una's, where cmdlets may run that Eve must not."""
    theirs = stage.session(UNA)
    mine = wsman.Session(stage.wire(EVE), theirs.shell)
    mine.number = 1000
    return mine


def command_there(stage: Stage):
    return in_anothers_shell(stage).start(pipeline(MARKED), uuid.uuid4())


def input_there(stage: Stage) -> None:
    x, at = stage.session(UNA), uuid.uuid4()
    x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    mine = wsman.Session(stage.wire(EVE), x.shell)
    mine.send(
        whole(mine, at, f"<S>{MARK}</S>", 1001, wsman.INPUT) + whole(mine, at, "", 1002, wsman.END_OF_INPUT), at
    )


def end_there(stage: Stage) -> None:
    x, at = stage.session(UNA), uuid.uuid4()
    x.start(pipeline(wsman.command("Start-Sleep", wsman.argument("Seconds", "600"))), at)
    stage.server.wait_until(lambda: stage.journal, "the pipeline runs")
    wsman.Session(stage.wire(EVE), x.shell).signal(at)


def delete_there(stage: Stage) -> None:
    x, at = stage.session(UNA), uuid.uuid4()
    x.start(pipeline(wsman.command("Start-Sleep", wsman.argument("Seconds", "600"))), at)
    stage.server.wait_until(lambda: stage.journal, "the pipeline runs")
    wsman.Session(stage.wire(EVE), x.shell).delete()


def was_stopped(stage: Stage) -> bool:
    try:
        return bool(stage.stopped)
    finally:
        for shell in list(stage.server.endpoint.shells.values()):
            for job in shell.jobs.values():
                if job.task and not job.task.done():
                    stage.server.loop.call_soon_threadsafe(job.task.cancel)


def read_there(stage: Stage) -> None:
    x, at = stage.session(UNA), uuid.uuid4()
    x.start(pipeline(), at)
    stage.stolen = wsman.Session(stage.wire(EVE), x.shell).receive(at, "PT0.5S")


def was_read(stage: Stage) -> bool:
    return stage.stolen.status == 200


def create_there(stage: Stage) -> None:
    """Her shell, made anew by Eve."""
    x = stage.session(UNA)
    mine = wsman.Session(stage.wire(EVE), x.shell)
    mine.open()
    mine.start(pipeline(MARKED), uuid.uuid4())


def id_twice(terminated: bool):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        x.start(pipeline(), at)
        x.ended(at)
        if terminated:
            x.signal(at)
        x.start(pipeline(MARKED), at)

    return run


def id_of_what_is_blocked(stage: Stage) -> None:
    """An id that was refused is used again."""
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(REMOVE), at)
    x.signal(at)
    x.start(pipeline(MARKED), at)


def sent_again(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(wsman.command("Get-Mailbox"), takes_input=True), at)
    stream = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{at}">{encoded(whole(x, at, "<S>bo</S>", kind=wsman.INPUT))}</rsp:Stream></rsp:Send>'
    again = envelope(f"{RSP}/Send", stream, x.shell).encode()
    x.wire.post(again)
    x.wire.post(again)
    x.send(whole(x, at, "", kind=wsman.END_OF_INPUT), at)
    x.ended(at)


def ran_twice(stage: Stage) -> bool:
    return sum(it["params"].get("Identity") == "bo" for it in stage.journal) > 1


def asked(action: str, body: str = ""):
    def run(stage: Stage):
        return stage.session().ask(action, body)

    return run


def arrived(action: str):
    return lambda stage: any(it.action == action for it in stage.arrived)


def enumerated(stage: Stage):
    return stage.wire().post(envelope(ENUMERATION + "/Enumerate", "", resource=RSP).encode())


def connected(stage: Stage):
    """Takes up a shell, with a pipeline in the message that only says who comes back."""
    x = stage.session()
    creation = whole(x, None, wsman.CAPABILITY_BODY, kind=wsman.CAPABILITY) + whole(x, None, pipeline(REMOVE))
    return x.ask("Connect", f'<rsp:Connect><connectXml xmlns="{PWSH}">{encoded(creation)}</connectXml></rsp:Connect>')


def after_the_end(stage: Stage):
    x = stage.session()
    x.delete()
    return x.start(pipeline(MARKED), uuid.uuid4())


def asked_for_a_word(stage: Stage) -> tuple[wsman.Session, uuid.UUID]:
    """Una's pipeline that waits for an answer."""
    x, at = stage.session(UNA), uuid.uuid4()
    host = wsman.HOST.replace("true", "false")
    body = pipeline(wsman.command("Remove-Mailbox", wsman.argument("Identity", "bo"))).replace(wsman.HOST, host)
    x.start(body, at)
    answer = x.receive(at)
    assert answer.status == 200, answer.text
    return x, at


def answer_body(value: str) -> str:
    return wsman.properties(
        None, '<I64 N="ci">1</I64>', wsman.enumeration("mi", "Remoting.RemoteHostMethodId", 26), value
    )


def behind_an_answer(stage: Stage) -> None:
    x, at = asked_for_a_word(stage)
    answer = whole(x, at, answer_body('<I32 N="mr">1</I32>'), kind=wsman.PIPELINE_ANSWER)
    x.send(answer + whole(x, None, pipeline(MARKED)), at, "pr")


def behind_an_answer_to_the_shell(stage: Stage) -> None:
    x, at = asked_for_a_word(stage)
    answer = whole(x, at, answer_body('<I32 N="mr">1</I32>'), kind=wsman.PIPELINE_ANSWER)
    x.send(answer + whole(x, None, pipeline(MARKED)), stream="pr")


def answered_with(value: str):
    def run(stage: Stage) -> None:
        x, at = asked_for_a_word(stage)
        x.send(whole(x, at, answer_body(value), kind=wsman.PIPELINE_ANSWER), at, "pr")

    return run


def answered(stage: Stage) -> None:
    x, at = asked_for_a_word(stage)
    x.send(whole(x, at, answer_body('<I32 N="mr">1</I32>'), kind=wsman.PIPELINE_ANSWER), at, "pr")
    assert x.ended(at) == 4


WITH_HOST = wsman.HOST.replace("true", "false")
TABLE = '<Obj N="mr"><TN RefId="994"><T>System.Collections.Hashtable</T><T>System.Object</T></TN><DCT>{}</DCT></Obj>'


def asked_for_a_parameter(entries: dict[str, str]):
    """Ana leaves out whom it is for, and gives more than that when the server asks."""

    def run(stage: Stage) -> None:
        x, at = stage.session(ANA), uuid.uuid4()
        command = wsman.command("Set-Mailbox", wsman.argument("CustomAttribute1", "y"))
        x.start(pipeline(command).replace(wsman.HOST, WITH_HOST), at)
        assert x.receive(at).status == 200
        table = "".join(f'<En><S N="Key">{name}</S><S N="Value">{value}</S></En>' for name, value in entries.items())
        prompt = answer_body(TABLE.format(table)).replace("<I32>26</I32>", "<I32>23</I32>")
        if x.send(whole(x, at, prompt, kind=wsman.PIPELINE_ANSWER), at, "pr").status == 200:
            x.ended(at)

    return run


def confirmed_twice(stage: Stage) -> None:
    """Bea may remove one mailbox; each time the server asks, and she says yes."""
    x = stage.session(BEA)
    number = 0
    for identity in ("bo", "anna"):
        at = uuid.uuid4()
        yes = wsman.argument("Confirm", '<B N="V">true</B>')
        command = wsman.command("Remove-Mailbox", wsman.argument("Identity", identity), yes)
        x.start(pipeline(command).replace(wsman.HOST, WITH_HOST), at)
        if "CommandState/Done" in x.receive(at).text:
            continue
        number += 1
        body = answer_body('<I32 N="mr">0</I32>').replace(">1</I64>", f">{number}</I64>")
        x.send(whole(x, at, body, kind=wsman.PIPELINE_ANSWER), at, "pr")
        x.ended(at)


def are_both_gone(stage: Stage) -> bool:
    return all(stage.server.endpoint.table.find(it) is None for it in ("bo", "anna"))


def answered_as_the_pools(to_the_pool: bool):
    """A pipeline's question is answered as if the pool had asked, which nobody decides on."""

    def run(stage: Stage) -> None:
        x, at = asked_for_a_word(stage)
        body = answer_body('<I32 N="mr">0</I32>')
        x.send(whole(x, None if to_the_pool else at, body, kind=wsman.POOL_ANSWER), None if to_the_pool else at, "pr")

    return run


def pool_answer_arrived(stage: Stage) -> bool:
    kind = wsman.POOL_ANSWER.to_bytes(4, "little")
    return any(kind in part for it in stage.arrived if it.action == "Send" for part in wsman.payloads(it.body))


def answer_for_another(stage: Stage) -> None:
    """Eve says yes for Una."""
    x, at = asked_for_a_word(stage)
    mine = wsman.Session(stage.wire(EVE), x.shell)
    mine.send(whole(mine, at, answer_body('<I32 N="mr">0</I32>'), 1001, wsman.PIPELINE_ANSWER), at, "pr")


def is_gone(stage: Stage) -> bool:
    return stage.server.endpoint.table.find("bo") is None


def mark_arrived(stage: Stage) -> bool:
    """Whether the mark went upstream in any form."""
    return has_arrived(stage, MARK)


def with_arguments(value: str):
    """A pool with application arguments."""

    def run(stage: Stage):
        x = wsman.Session(stage.wire())
        body = wsman.INIT_BODY.replace('<Nil N="ApplicationArguments" />', value)
        first = whole(x, None, wsman.CAPABILITY_BODY, kind=wsman.CAPABILITY)
        return x.wire.post(x.create(first + whole(x, None, body, kind=wsman.INIT)).encode())

    return run


def named_in_headers(stage: Stage):
    x, at = stage.session(), uuid.uuid4()
    body = envelope(f"{RSP}/Command", command_line(whole(x, at, pipeline()), at, MARK), x.shell)
    return x.wire.post(body.encode(), X_CommonAccessToken=MARK, X_Rps_CAT=MARK, User_Agent=MARK, Cookie=MARK)


def two_at_once(stage: Stage) -> None:
    """A pipeline whose last piece comes twice at the same moment, once harmless and once not."""
    import threading

    for _ in range(8):
        x, at = stage.session(), uuid.uuid4()
        good = message(wsman.CREATE, x.shell, at, pipeline(HARMLESS))
        bad = message(wsman.CREATE, x.shell, at, pipeline(REMOVE))
        same = next(index for index, both in enumerate(zip(good, bad)) if both[0] != both[1])
        x.command(wsman.fragment(good[:same], 5, 0, 1), at)
        ends = [wsman.fragment(it[same:], 5, 1, 2) for it in (good, bad)]
        others = [wsman.Session(stage.wire(), x.shell) for _ in ends]
        together = threading.Barrier(len(ends))

        def race(session: wsman.Session, end: bytes) -> None:
            together.wait(wsman.PATIENCE)
            session.send(end, at)

        threads = [threading.Thread(target=race, args=it) for it in zip(others, ends)]
        for it in threads:
            it.start()
        for it in threads:
            it.join(wsman.PATIENCE)


OBJECT = f'<Obj N="mr"><TN RefId="993"><T>Microsoft.Exchange.Data.Directory.ADObjectId</T></TN><MS><BA N="SerializationData">AAAA</BA><S N="a">{MARK}</S></MS></Obj>'

TRICKS = [
    Trick("a command in another's shell", command_there),
    Trick("input for another's pipeline", input_there),
    Trick("the end of another's pipeline", end_there, worked=was_stopped),
    Trick("the end of another's shell", delete_there, worked=was_stopped),
    Trick("another's output", read_there, worked=was_read),
    Trick("a shell with another's id", create_there),
    Trick("another's word", answer_for_another, worked=is_gone),
    Trick("an id used twice", id_twice(False), fools=False),
    Trick("an id used again when it was done", id_twice(True)),
    Trick("an id used again when it was blocked", id_of_what_is_blocked, fools=True),
    Trick("input sent again", sent_again, worked=ran_twice),
    Trick("a shell left", asked("Disconnect", "<rsp:Disconnect />"), worked=arrived("Disconnect")),
    Trick("a shell taken up by its client", asked("Reconnect"), worked=arrived("Reconnect")),
    Trick("a shell taken up by another client", connected, worked=arrived("Connect")),
    Trick("a list of shells", enumerated, worked=arrived("Enumerate")),
    Trick("a look at a shell", asked(TRANSFER + "/Get"), worked=arrived("Get")),
    Trick("a shell that is over", after_the_end, fools=False),
    Trick("a pipeline behind an answer", behind_an_answer, worked=ran_what_is_marked, control=answered),
    Trick("a pipeline behind an answer on the shell's stream", behind_an_answer_to_the_shell, worked=ran_what_is_marked, control=answered),
    Trick("program text as an answer", answered_with(f'<SBK N="mr">{MARK}</SBK>'), worked=mark_arrived, control=answered),
    Trick("an object of the server's own types as an answer", answered_with(OBJECT), worked=mark_arrived, control=answered),
    Trick("such an object as the error of an answer", answered_with(OBJECT.replace('N="mr"', 'N="me"')), worked=mark_arrived, control=answered),
    Trick("such an object among a pool's arguments", with_arguments(OBJECT.replace('N="mr"', 'N="ApplicationArguments"')), worked=mark_arrived),
    Trick("program text among a pool's arguments", with_arguments(f'<SBK N="ApplicationArguments">{MARK}</SBK>'), worked=mark_arrived),
    Trick("more parameters in the answer to a question for one", asked_for_a_parameter({"Identity": "x", "ForwardingSmtpAddress": MARK}), worked=ran_what_is_marked, control=answered),
    Trick("another identity in the answer to a question", asked_for_a_parameter({"Identity": MARK}), worked=ran_what_is_marked, control=answered),
    Trick("a use for each question that is answered with yes", confirmed_twice, worked=are_both_gone),
    Trick("a pipeline's question answered as the pool's", answered_as_the_pools(True), worked=pool_answer_arrived),
    Trick("a pipeline's question answered as the pool's, on its own stream", answered_as_the_pools(False), worked=pool_answer_arrived),
    Trick("headers that back ends believe", named_in_headers, worked=mark_arrived),
    Trick("two ends of one message at once", two_at_once),
]
