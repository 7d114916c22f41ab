"""Remote PowerShell with real clients, pypsrp and pywinrm, through the gateway: what works as without it, and what they read."""

import re
import ssl
import threading
import uuid

import httpx
import pytest
import winrm
from exchange import cmdlets
from pypsrp.complex_objects import ObjectMeta, PSInvocationState, RunspacePoolState
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.host import PSHost, PSHostUserInterface
from pypsrp.powershell import PowerShell, RunspacePool
from remoting import AMY, ANA, BEA, EVE, IVY, LISTED, PASSWORD, UNA, World, connection, in_background, pool, run

TASK = r"Exchange\Remove-Mailbox"


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    with World(tmp_path_factory.mktemp("remoting")) as remote:
        remote.grant(UNA, "Remove-Mailbox")
        remote.grant(UNA, "Set-Mailbox")
        remote.grant(UNA, "Start-Sleep")
        remote.teach()
        yield remote


@pytest.fixture
def runspaces(remote):
    """Ana's session."""
    with remote.session() as runspaces:
        yield runspaces


@pytest.fixture
def granted(remote):
    """Una's session, who has grants."""
    with remote.session(UNA) as runspaces:
        yield runspaces


def names(shell: PowerShell) -> list[str]:
    return [it.adapted_properties.get("DisplayName") or it.extended_properties["DisplayName"] for it in shell.output]


def last(remote) -> dict:
    """The last thing that ran upstream."""
    return remote.exchange.journal[-1]


# ---- a session ----------------------------------------------------------------------------------------------------------


def test_a_session_opens_runs_a_cmdlet_and_closes(remote):
    before = len(remote.exchange.arrived("Delete"))
    with remote.session() as runspaces:
        assert runspaces.state == RunspacePoolState.OPENED
        shell = run(runspaces, "Get-Mailbox", Identity="bo")
        assert (shell.state, shell.had_errors, names(shell)) == (PSInvocationState.COMPLETED, False, ["Bo Carlsen"])
    assert runspaces.state == RunspacePoolState.CLOSED
    assert len(remote.exchange.arrived("Delete")) == before + 1, "the server's shell is closed, too"
    assert not remote.exchange.endpoint.shells.get(str(runspaces.id).upper())


def test_parameters_arrive_by_name_by_position_and_as_switches(remote, runspaces):
    shell = PowerShell(runspaces)
    shell.add_cmdlet("get-mailbox").add_argument("anna").add_parameter("Archive").invoke()
    assert names(shell) == ["Anna Berg"]
    assert last(remote)["cmdlet"] == "Get-Mailbox"
    assert last(remote)["params"] == {"Identity": "anna", "Archive": True}
    run(runspaces, "Get-Mailbox", ResultSize=2, Filter="Alias -like '*'")
    assert last(remote)["params"] == {"ResultSize": 2, "Filter": "Alias -like '*'"}


def test_pipes_and_statements_run_as_without_the_gateway(remote, runspaces):
    shell = PowerShell(runspaces)
    shell.add_cmdlet("Get-Mailbox").add_cmdlet("Measure-Object").add_statement()
    shell.add_cmdlet("Get-Mailbox").add_parameter("Identity", "x").invoke()
    count, mailbox = shell.output
    assert count.count == len(remote.exchange.endpoint.table.rows)
    assert mailbox.extended_properties["Alias"] == "x"


def test_values_of_the_client_are_piped_in(remote, runspaces):
    shell = PowerShell(runspaces)
    shell.add_cmdlet("Get-Mailbox").invoke(["anna", "bo"])
    assert names(shell) == ["Anna Berg", "Bo Carlsen"]


def test_a_simple_script_runs_as_commands(remote, runspaces):
    shell = PowerShell(runspaces)
    shell.add_script("Get-Mailbox -Identity 'bo' | Measure-Object; Get-Mailbox anna").invoke()
    assert not shell.had_errors
    assert shell.output[1].extended_properties["Alias"] == "anna"
    assert [it["script"] for it in remote.exchange.journal[-2:]] == [False, False], "a server without a language runs it"


@pytest.mark.parametrize("script", ["$x = Get-Mailbox; $x", "Get-Mailbox | % { $_ }", "iex 'Get-Mailbox'", 'Get-Mailbox "$x"'])
def test_any_other_script_is_refused_with_what_to_do_instead(remote, runspaces, script):
    ran = len(remote.exchange.journal)
    shell = PowerShell(runspaces)
    shell.add_script(script).invoke()
    assert (shell.state, shell.had_errors) == (PSInvocationState.FAILED, True)
    error = shell.streams.error[0]
    assert error.fq_error == "PortcullisUnsupported"
    assert re.search(r"send each command by itself|by their own names|cmdlet's whole name", str(error)), str(error)
    assert len(remote.exchange.journal) == ran
    assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"


def test_several_pools_and_pipelines_run_at_once(remote):
    def work(alias: str, seen: dict) -> None:
        with remote.session(max_runspaces=3) as runspaces:
            shells = [PowerShell(runspaces).add_cmdlet("Get-Mailbox").add_parameter("Identity", alias) for _ in range(5)]
            for shell in shells:
                shell.begin_invoke()
            for shell in shells:
                shell.end_invoke()
            seen[alias] = [it.output[0].extended_properties["Alias"] for it in shells]

    seen: dict[str, list[str]] = {}
    threads = [in_background(lambda it=it: work(it, seen)) for it in ("anna", "bo", "x")]
    for thread in threads:
        thread.join(60)
    assert seen == {it: [it] * 5 for it in ("anna", "bo", "x")}


def test_a_pool_is_asked_about_and_changed(remote, runspaces):
    runspaces.max_runspaces = 4
    assert runspaces.max_runspaces == 4
    assert runspaces.get_available_runspaces() == 1
    runspaces.reset_runspace_state()
    assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"]


def test_secure_strings_pass_that_the_gateway_cannot_read(remote, granted):
    remote.grant(UNA, "New-Mailbox")
    granted.exchange_keys()
    secret = granted.serialize("correct horse", ObjectMeta("SS"))
    shell = run(granted, "New-Mailbox", Name="Zed Tester", Alias="zed", Password=secret)
    assert not shell.had_errors, shell.streams.error
    assert remote.exchange.endpoint.secrets[-1] == "correct horse"
    del remote.exchange.endpoint.table.rows["zed"]
    everything = "".join(it.read_text() for it in (remote.directory / "audit").glob("*.jsonl"))
    assert "Zed Tester" in everything and "correct horse" not in everything


class Person(PSHostUserInterface):
    """Somebody at the console, who answers every question with the same choice."""

    def __init__(self, choice: int):
        super().__init__()
        self.choice = choice
        self.asked: list[str] = []

    def PromptForChoice(self, runspace, pipeline, caption, message, choices, default_choice):
        self.asked.append(message)
        return self.choice


@pytest.mark.parametrize(("choice", "is_gone"), [(1, False), (0, True)], ids=["no", "yes"])
def test_the_server_asks_the_person_at_the_client(remote, choice, is_gone):
    remote.exchange.endpoint.table.add("vic", "Vic Timm")
    person = Person(choice)
    with remote.session(UNA, host=PSHost(None, None, False, "tests", None, person, "1.0")) as runspaces:
        shell = run(runspaces, "Remove-Mailbox", Identity="vic")
        assert not shell.had_errors, shell.streams.error
    assert person.asked == ["Remove mailbox Vic Timm?"]
    assert ("vic" not in remote.exchange.endpoint.table.rows) == is_gone


def test_commands_are_listed_with_those_of_the_gateway_among_them(runspaces):
    listed = {it.name: it for it in runspaces.get_command_metadata("*", LISTED)}
    assert {"Get-Mailbox", "Remove-Mailbox", "New-ElevatedAccessRequest", "Approve-ElevatedAccessRequest"} <= set(listed)
    assert "Reason" in listed["New-ElevatedAccessRequest"].parameters
    assert [it.name for it in runspaces.get_command_metadata("Set-Mail*", LISTED)] == ["Set-Mailbox"]
    only = {it.name for it in runspaces.get_command_metadata(["Get-Elevated*", "Get-Date"], LISTED)}
    assert "Get-ElevatedAccessRequest" in only and "Get-Date" in only and "Get-Mailbox" not in only


def test_a_large_argument_goes_through_in_many_fragments(remote, granted):
    text = "Grüße, 世界 🛂 " * 60_000
    shell = run(granted, "Set-Mailbox", Identity="x", CustomAttribute1=text)
    assert not shell.had_errors, shell.streams.error
    assert remote.exchange.endpoint.table.rows["x"]["CustomAttribute1"] == text
    remote.exchange.endpoint.table.rows["x"]["CustomAttribute1"] = ""
    sent = [it for it in remote.exchange.arrived("Send") if it.shell == str(granted.id).upper()]
    assert len(sent) > 5 and max(len(it.body) for it in sent) < 153_600, "no envelope is larger than every server takes"


def test_large_output_is_streamed(remote, runspaces):
    table = remote.exchange.endpoint.table
    for number in range(600):
        table.add(f"many{number}", f"Many {number}", Notes="n" * 3000)
    try:
        shell = run(runspaces, "Get-Mailbox", ResultSize="Unlimited")
    finally:
        for number in range(600):
            del table.rows[f"many{number}"]
    assert len(shell.output) == 600 + len(table.rows)
    assert shell.output[-1].extended_properties["Notes"] == "n" * 3000


def test_output_comes_while_the_pipeline_still_runs(remote, granted):
    shell = PowerShell(granted)
    shell.add_cmdlet("Get-Mailbox").add_parameter("Identity", "x").add_statement()
    shell.add_cmdlet("Start-Sleep").add_parameter("Seconds", 600)
    shell.begin_invoke()
    while not shell.output:
        shell.poll_invoke()
    assert (names(shell), shell.state) == (["Xenia Dahl"], PSInvocationState.RUNNING)
    shell.stop()


def test_errors_that_end_nothing_and_errors_that_do_are_the_servers_own(runspaces):
    shell = run(runspaces, "Get-Mailbox", Identity="nobody")
    assert shell.state == PSInvocationState.COMPLETED
    assert "couldn't be found" in str(shell.streams.error[0])
    assert shell.streams.error[0].fq_error.endswith("GetMailbox") or "Mailbox" in shell.streams.error[0].fq_error
    shell = run(runspaces, "Get-Mailbox", Nothing="x")
    assert shell.state == PSInvocationState.FAILED
    assert shell.streams.error[0].fq_error.startswith("NamedParameterNotFound")


def test_a_cmdlet_that_no_list_has_could_be_an_alias_and_is_blocked(remote, runspaces, monkeypatch):
    monkeypatch.setitem(cmdlets.ALIASES, "purge-box", "Remove-Mailbox")
    since = len(remote.exchange.journal)
    shell = run(runspaces, "Purge-Box", Identity="x", Confirm=False)
    assert shell.streams.error[0].fq_error == "PortcullisBlocked"
    assert "could be an alias" in str(shell.streams.error[0])
    assert len(remote.exchange.journal) == since
    assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"


def test_a_pipeline_is_stopped_in_the_middle(remote, granted):
    shell = PowerShell(granted)
    shell.add_cmdlet("Start-Sleep").add_parameter("Seconds", 600).begin_invoke()
    remote.exchange.wait_until(lambda: last(remote)["pipeline"] == shell.id.lower(), "it runs")
    shell.stop()
    remote.exchange.wait_until(lambda: shell.id.lower() in remote.exchange.endpoint.stopped, "the server was told")
    assert names(run(granted, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"


def test_a_long_poll_is_held_as_long_as_the_client_asks(remote):
    with remote.session(UNA, operation_timeout=1) as runspaces:
        shell = PowerShell(runspaces)
        shell.add_cmdlet("Start-Sleep").add_parameter("Seconds", 2.5)
        assert shell.invoke() == [] and shell.state == PSInvocationState.COMPLETED
        polls = [it for it in remote.exchange.arrived("Receive") if it.shell == str(runspaces.id).upper()]
    assert len(polls) > 3, "it polled again and again, and never noticed"


# ---- refusals -----------------------------------------------------------------------------------------------------------


def test_a_block_is_an_error_that_says_what_to_type(remote, runspaces):
    ran = len(remote.exchange.journal)
    shell = run(runspaces, "Remove-Mailbox", Identity="x", Confirm=False)
    assert (shell.state, shell.had_errors, shell.output) == (PSInvocationState.FAILED, True, [])
    (error,) = shell.streams.error
    assert error.fq_error == "PortcullisBlocked"
    assert int(error.category) == 18, "PermissionDenied"
    assert error.reason == "UnauthorizedAccessException"
    text = str(error)
    assert "Remove-Mailbox needs approval" in text
    assert rf"New-ElevatedAccessRequest -Task '{TASK}' -Reason" in text
    decision = remote.decisions(task=TASK, verdict="block")[-1]
    assert decision["decision"] in text, "the text leads to the record"
    assert len(remote.exchange.journal) == ran
    assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"


def test_of_a_pipe_or_several_statements_all_may_run_or_none(remote, runspaces):
    ran = len(remote.exchange.journal)
    shell = PowerShell(runspaces)
    shell.add_cmdlet("Get-Mailbox").add_parameter("Identity", "x").add_statement()
    shell.add_cmdlet("Remove-Mailbox").add_parameter("Identity", "x").invoke()
    assert shell.streams.error[0].fq_error == "PortcullisBlocked"
    shell = PowerShell(runspaces)
    shell.add_cmdlet("Get-Mailbox").add_parameter("Identity", "x").add_cmdlet("Remove-Mailbox").invoke()
    assert shell.streams.error[0].fq_error == "PortcullisBlocked"
    assert len(remote.exchange.journal) == ran


def test_a_rule_on_a_parameter_is_read_off_the_error(remote, granted):
    shell = run(granted, "Set-Mailbox", Identity="x", ForwardingSmtpAddress="e@evil.example")
    assert shell.streams.error[0].fq_error == "PortcullisBlocked"
    assert "ForwardingSmtpAddress" in str(shell.streams.error[0])
    assert remote.exchange.endpoint.table.rows["x"]["ForwardingSmtpAddress"] is None


def test_what_the_protocol_does_not_allow_is_a_fault_on_the_clients_exception(remote, runspaces):
    shell = PowerShell(runspaces)
    shell.add_cmdlet("Get-Mailbox")
    shell.begin_invoke()
    shell.end_invoke()
    again = PowerShell(runspaces)
    again.id = shell.id
    again.add_cmdlet("Get-Mailbox")
    with pytest.raises(WSManFaultError) as told:
        again.invoke()
    assert told.value.code == 0x80070005
    assert "there was a command with this id" in told.value.reason
    assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"


def test_sessions_cannot_be_left_and_taken_up(remote, runspaces):
    with pytest.raises(WSManFaultError, match="cannot be left and taken up again"):
        runspaces.disconnect()
    with remote.wsman() as wsman, pytest.raises(WSManFaultError, match="cannot be left and taken up again"):
        RunspacePool.get_runspace_pools(wsman)
    assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"
    assert not {it.action for it in remote.exchange.arrived()} & {"Disconnect", "Reconnect", "Enumerate"}


def test_another_configuration_is_refused_by_its_name(remote):
    with remote.wsman() as wsman, pytest.raises(WSManFaultError, match="use `-ConfigurationName Microsoft.Exchange`"):
        RunspacePool(wsman, configuration_name="Microsoft.PowerShell").open()


def test_a_nested_pipeline_is_refused(remote, granted):
    shell = PowerShell(granted)
    shell.add_cmdlet("Start-Sleep").add_parameter("Seconds", 600).begin_invoke()
    nested = shell.create_nested_power_shell()
    nested.add_cmdlet("Get-Mailbox").invoke()
    assert "inside of a running one" in str(nested.streams.error[0])
    shell.stop()


def test_a_wrong_password_and_an_unknown_user_do_not_sign_in(remote):
    arrived = len(remote.exchange.arrived())
    for user, password in ((ANA, "wrong"), ("nobody@contoso.example", PASSWORD)):
        with connection(remote.base, user, password, remote.ca) as wsman, pytest.raises(AuthenticationError):
            pool(wsman).open()
    assert len(remote.exchange.arrived()) == arrived


def test_the_other_shell_of_windows_is_refused_with_a_text(remote):
    session = winrm.Session(
        remote.base, auth=(ANA, PASSWORD), transport="basic", ca_trust_path=str(remote.ca), proxy=None
    )
    for attempt in (lambda: session.run_cmd("whoami"), lambda: session.run_ps("Get-Mailbox")):
        with pytest.raises(winrm.exceptions.WinRMTransportError) as told:
            attempt()
        assert "nothing is served at this path" in told.value.response_text, "it knows one path alone"
    protocol = winrm.Protocol(
        f"{remote.base}/powershell", "basic", ANA, PASSWORD, ca_trust_path=str(remote.ca), proxy=None
    )
    with pytest.raises(winrm.exceptions.WinRMError, match="use `-ConfigurationName Microsoft.Exchange`"):
        protocol.open_shell()
    assert not [it for it in remote.exchange.journal if "cmd" in it]


def test_a_client_that_runs_program_text_is_told_how_else(remote):
    """What Ansible and pypsrp's own `Client` send."""
    from pypsrp.client import Client

    client = Client(
        "localhost", port=int(remote.base.rsplit(":", 1)[1]), ssl=True, auth="basic", username=ANA, password=PASSWORD,
        path="PowerShell", cert_validation=str(remote.ca), no_proxy=True,
    )
    with client:
        output, streams, had_errors = client.execute_ps(
            "Get-Mailbox -Identity x", configuration_name="Microsoft.Exchange"
        )
    assert (output, had_errors) == ("", True)
    assert "Invoke-Expression runs program text" in str(streams.error[0])


# ---- the gateway's own cmdlets ------------------------------------------------------------------------------------------


def properties(item) -> dict:
    return item.adapted_properties | item.extended_properties


def test_asked_for_in_the_session_and_approved_over_rest_the_pipeline_runs(remote, runspaces):
    remote.exchange.endpoint.table.add("gone", "Gone Soon")
    arrived = len(remote.exchange.arrived("Command"))
    asked = run(runspaces, "New-ElevatedAccessRequest", Task=TASK, Reason="CHG 1", DurationHours=1)
    assert not asked.had_errors, asked.streams.error
    (request,) = map(properties, asked.output)
    assert asked.output[0].types[0] == "Portcullis.ElevatedAccessRequest"
    assert (request["RequestStatus"], request["Reason"]) == ("Pending", "CHG 1")
    assert len(remote.exchange.arrived("Command")) == arrived, "the server never hears of it"

    shell = run(runspaces, "Remove-Mailbox", Identity="gone", Confirm=False)
    assert shell.streams.error[0].fq_error == "PortcullisBlocked"
    remote.approve(str(request["Identity"]))
    shell = run(runspaces, "Remove-Mailbox", Identity="gone", Confirm=False)
    assert not shell.had_errors, shell.streams.error
    assert last(remote)["cmdlet"] == "Remove-Mailbox"
    (grant,) = (it for it in remote.api(ANA, "GET", "/grants?whose=mine&status=active")["items"] if it["task"].lower() == TASK.lower())
    ended = run(runspaces, "Set-ElevatedAccessAuthorization", "End", RequestId=grant["id"], Comment="done")
    assert not ended.had_errors, ended.streams.error
    assert run(runspaces, "Remove-Mailbox", Identity="bo").streams.error[0].fq_error == "PortcullisBlocked"


def test_approved_in_one_session_it_is_used_over_rest(remote, runspaces):
    def move() -> httpx.Response:
        return httpx.post(
            f"{remote.base}/adminapi/beta/contoso.onmicrosoft.com/InvokeCommand", auth=(ANA, PASSWORD), trust_env=False,
            verify=ssl.create_default_context(cafile=str(remote.ca)),
            json={"CmdletInput": {"CmdletName": "New-MoveRequest", "Parameters": {"Identity": ANA}}},
        )

    assert move().status_code == 403
    asked = run(runspaces, "New-ElevatedAccessRequest", Task=r"Exchange\New-MoveRequest", Reason="CHG 2")
    identity = properties(asked.output[0])["Identity"]
    with remote.session(AMY) as theirs:
        assert not run(theirs, "Approve-ElevatedAccessRequest", RequestId=str(identity), Comment="ok").had_errors
    assert move().status_code == 200


def test_errors_of_the_gateways_cmdlets_are_error_records(runspaces):
    shell = run(runspaces, "Approve-ElevatedAccessRequest", RequestId=str(uuid.uuid4()), Comment="x")
    assert shell.had_errors and shell.streams.error, "an error, not a fault"
    shell = run(runspaces, "New-ElevatedAccessRequest", Task="nonsense", Reason="x")
    assert shell.had_errors and "nonsense" in str(shell.streams.error[0])
    assert not run(runspaces, "Get-ElevatedAccessRequest").had_errors


def test_nobody_approves_an_own_request_in_a_session_either(remote):
    with remote.session(AMY) as theirs:
        asked = run(theirs, "New-ElevatedAccessRequest", Task=TASK, Reason="mine")
        identity = properties(asked.output[0])["Identity"]
        shell = run(theirs, "Approve-ElevatedAccessRequest", RequestId=str(identity), Comment="me")
        assert shell.had_errors and "own request" in str(shell.streams.error[0])
        run(theirs, "Set-ElevatedAccessRequest", "Withdraw", RequestId=str(identity))


def test_the_gateways_cmdlets_stand_alone(remote, runspaces):
    shell = PowerShell(runspaces)
    shell.add_cmdlet("Get-Mailbox").add_cmdlet("Get-ElevatedAccessRequest").invoke()
    assert "must be the only command" in str(shell.streams.error[0])


# ---- while it runs ------------------------------------------------------------------------------------------------------


def test_a_revoked_grant_ends_a_pipeline_that_runs(remote):
    identity = remote.grant(BEA, "Start-Sleep")
    with remote.session(BEA, operation_timeout=300, read_timeout=330) as runspaces:
        shell = PowerShell(runspaces)
        shell.add_cmdlet("Start-Sleep").add_parameter("Seconds", 600).begin_invoke()
        polling = in_background(shell.end_invoke)
        remote.exchange.wait_until(lambda: last(remote)["pipeline"] == shell.id.lower(), "it runs")
        (grant,) = (it for it in remote.api(BEA, "GET", "/grants?whose=mine")["items"] if it["request"] == identity)
        remote.exchange.wait_until(
            lambda: [it for it in remote.exchange.arrived("Receive") if shell.id in it.body.decode()], "its client waits"
        )
        remote.api(IVY, "POST", f"/grants/{grant['id']}/revoke", comment="enough")
        polling.join(60)
        assert not polling.is_alive(), "a client that waits for five minutes is told at once"
        assert shell.state == PSInvocationState.FAILED
        assert shell.streams.error[0].fq_error == "PortcullisBlocked"
        remote.exchange.wait_until(lambda: shell.id.lower() in remote.exchange.endpoint.stopped, "the server was told")
        assert names(run(runspaces, "Get-Mailbox", Identity="x")) == ["Xenia Dahl"], "the session goes on"


def test_a_held_pipeline_runs_once_it_is_approved(remote):
    done = {}

    def work() -> None:
        with remote.session(BEA, operation_timeout=1) as runspaces:
            done["shell"] = shell = PowerShell(runspaces).add_cmdlet("New-Mailbox")
            # Windows' clients say that there is input, and then that there is none.
            shell.add_parameters({"Name": "Held Back", "Alias": "held"}).invoke([])

    thread = in_background(work)
    request = wait_for_request(remote, BEA, "New-Mailbox")
    assert "held" not in remote.exchange.endpoint.table.rows
    remote.approve(request["id"])
    thread.join(60)
    shell = done["shell"]
    assert (shell.state, shell.had_errors) == (PSInvocationState.COMPLETED, False), shell.streams.error
    assert shell.output[0].extended_properties["Alias"] == "held"
    assert last(remote)["pipeline"] == shell.id.lower(), "under the id that the client gave it"
    del remote.exchange.endpoint.table.rows["held"]


def test_a_held_pipeline_that_is_denied_says_so(remote):
    done = {}

    def work() -> None:
        with remote.session(EVE, operation_timeout=1) as runspaces:
            done["shell"] = run(runspaces, "New-Mailbox", Name="Never There")
            done["after"] = names(run(runspaces, "Get-Mailbox", Identity="x"))

    thread = in_background(work)
    request = wait_for_request(remote, EVE, "New-Mailbox")
    remote.api(AMY, "POST", f"/requests/{request['id']}/deny", comment="no")
    thread.join(60)
    error = done["shell"].streams.error[0]
    assert error.fq_error == "PortcullisBlocked"
    assert done["after"] == ["Xenia Dahl"], "the session goes on"
    assert "never" not in remote.exchange.endpoint.table.rows


def wait_for_request(remote, user: str, task: str) -> dict:
    """The pending request, as soon as the log tells of it."""
    stop = threading.Event()
    for _ in range(1200):
        found = remote.api(user, "GET", "/requests?whose=mine&status=pending")["items"]
        found = [it for it in found if it["task"].lower() == f"exchange\\{task}".lower()]
        if found:
            return found[0]
        stop.wait(0.05)
    raise AssertionError(f"no request for {task} was filed")
