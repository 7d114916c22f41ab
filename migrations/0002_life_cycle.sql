-- The whole life cycle: withdrawals, ends, extensions, uses, pins, narrowings, break-glass and its reviews; policies and the
-- switch that operators change while the gateway runs.
--
-- SQLite cannot change a constraint, so the three tables are made anew, and what they held goes through copies. Pins and
-- narrowings are JSON; flags are 0 or 1; `subject` tells what, besides the person and the policy, makes two requests the same.

create table old_requests as select * from requests;
create table old_votes as select * from votes;
create table old_grants as select * from grants;
drop table votes;
drop table grants;
drop table requests;

create table requests (
    id text not null,
    principal_key text not null,
    principal_name text not null,
    policy text not null,
    task text,
    subject text not null,
    pins text not null,
    reason text not null,
    context text not null,
    external_identity text,
    duration_ms bigint not null,
    starts_ms bigint,
    uses bigint,
    extends text,
    break_glass bigint not null,
    state text not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    decided_ms bigint,
    decided_by text,
    comment text,
    version bigint not null,
    constraint request_has_one_id primary key (id),
    constraint request_state_is_known check (state in ('approved', 'denied', 'expired', 'pending', 'withdrawn')),
    constraint request_lasts_at_most_180_days check (duration_ms between 1 and 15552000000),
    constraint request_expires_after_it_is_made check (expires_ms > created_ms),
    constraint request_is_pending_until_decided check ((state = 'pending') = (decided_ms is null)),
    constraint request_asks_for_some_use check (uses is null or uses > 0),
    constraint request_is_break_glass_or_not check (break_glass in (0, 1)),
    constraint request_waits_for_nobody_in_an_emergency check (break_glass = 0 or state = 'approved')
);

insert into requests (id, principal_key, principal_name, policy, task, subject, pins, reason, context, external_identity,
    duration_ms, starts_ms, uses, extends, break_glass, state, created_ms, expires_ms, decided_ms, decided_by, comment, version)
select id, principal_key, principal_name, policy, task, lower(coalesce(task, '')), '[]', reason, context, external_identity,
    duration_ms, null, null, null, 0, state, created_ms, expires_ms, decided_ms, decided_by, comment, version
from old_requests;

create unique index one_pending_request_for_a_person_and_subject
    on requests (principal_key, policy, subject) where state = 'pending';
create index requests_by_person on requests (principal_key, id);
create index requests_by_state on requests (state, id);
create index requests_by_expiry on requests (expires_ms) where state = 'pending';
create index requests_by_extended_grant on requests (extends) where extends is not null;

create table votes (
    request_id text not null,
    approver_key text not null,
    approver_name text not null,
    approver_groups text not null,
    answer text not null,
    comment text,
    narrowing text not null,
    at_ms bigint not null,
    constraint vote_is_one_for_each_key primary key (request_id, approver_key),
    constraint vote_is_on_a_request foreign key (request_id) references requests (id),
    constraint vote_is_yes_or_no check (answer in ('approve', 'deny'))
);

insert into votes (request_id, approver_key, approver_name, approver_groups, answer, comment, narrowing, at_ms)
select request_id, approver_key, approver_name, approver_groups, answer, comment, '{}', at_ms from old_votes;

create unique index vote_is_one_for_each_name on votes (request_id, lower(approver_name));

create table grants (
    id text not null,
    request_id text not null,
    principal_key text not null,
    principal_name text not null,
    policy text not null,
    task text,
    pins text not null,
    starts_ms bigint not null,
    ends_ms bigint not null,
    uses bigint,
    used bigint not null,
    break_glass bigint not null,
    approved_by text not null,
    created_ms bigint not null,
    state text not null,
    closed_ms bigint,
    closed_by text,
    closed_comment text,
    reviewed_ms bigint,
    reviewed_by text,
    reviewed_comment text,
    version bigint not null,
    constraint grant_has_one_id primary key (id),
    constraint grant_is_one_for_each_request unique (request_id),
    constraint grant_comes_from_a_request foreign key (request_id) references requests (id),
    constraint grant_state_is_known check (state in ('ended', 'expired', 'live', 'revoked', 'used-up')),
    constraint grant_ends_after_it_starts check (ends_ms > starts_ms),
    constraint grant_is_closed_by_somebody
        check ((state in ('ended', 'revoked', 'used-up')) = (closed_ms is not null) and (closed_ms is null) = (closed_by is null)),
    constraint grant_is_used_no_more_than_it_may check (used >= 0 and (uses is null or used <= uses)),
    constraint grant_is_used_up_by_its_last_use check (state <> 'live' or uses is null or used < uses),
    constraint grant_is_break_glass_or_not check (break_glass in (0, 1)),
    constraint grant_is_reviewed_by_somebody
        check ((reviewed_ms is null) = (reviewed_by is null) and (reviewed_ms is null or break_glass = 1))
);

insert into grants (id, request_id, principal_key, principal_name, policy, task, pins, starts_ms, ends_ms, uses, used,
    break_glass, approved_by, created_ms, state, closed_ms, closed_by, closed_comment, version)
select id, request_id, principal_key, principal_name, policy, task, '[]', starts_ms, ends_ms, null, 0,
    0, approved_by, created_ms, state, revoked_ms, revoked_by, revoked_comment, version
from old_grants;

create index grants_by_person on grants (principal_key, id);
create index grants_by_state on grants (state, id);
create index live_grants_by_end on grants (ends_ms) where state = 'live';
create index grants_awaiting_review on grants (id) where break_glass = 1 and reviewed_ms is null;

drop table old_votes;
drop table old_grants;
drop table old_requests;

create table grant_identities (
    grant_id text not null,
    identity text not null,
    constraint identity_is_counted_once primary key (grant_id, identity),
    constraint identity_is_of_a_grant foreign key (grant_id) references grants (id)
);

create table policies (
    scope text not null,
    definition text not null,
    changed_by text not null,
    changed_ms bigint not null,
    version bigint not null,
    constraint policy_has_one_scope primary key (scope)
);

create table settings (
    name text not null,
    value text not null,
    changed_by text not null,
    changed_ms bigint not null,
    version bigint not null,
    constraint setting_has_one_name primary key (name)
);
