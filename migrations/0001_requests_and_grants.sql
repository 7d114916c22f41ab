-- Requests, votes, grants, and the records that are still owed to the audit log.
--
-- The same text runs on SQLite and PostgreSQL. Ids are UUID v7 as text, so they sort by age; times are UTC milliseconds
-- since the Unix epoch; each row that changes counts its changes in `version`; `policy` is a folded scope.

create table requests (
    id text not null,
    principal_key text not null,
    principal_name text not null,
    policy text not null,
    task text,
    reason text not null,
    context text not null,
    external_identity text,
    duration_ms bigint not null,
    state text not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    decided_ms bigint,
    decided_by text,
    comment text,
    version bigint not null,
    constraint request_has_one_id primary key (id),
    constraint request_state_is_known check (state in ('approved', 'denied', 'expired', 'pending')),
    constraint request_lasts_at_most_180_days check (duration_ms between 1 and 15552000000),
    constraint request_expires_after_it_is_made check (expires_ms > created_ms),
    constraint request_is_pending_until_decided check ((state = 'pending') = (decided_ms is null))
);

create unique index one_pending_request_for_a_person_and_scope
    on requests (principal_key, policy, lower(coalesce(task, ''))) where state = 'pending';
create index requests_by_person on requests (principal_key, id);
create index requests_by_expiry on requests (expires_ms) where state = 'pending';

create table votes (
    request_id text not null,
    approver_key text not null,
    approver_name text not null,
    approver_groups text not null,
    answer text not null,
    comment text,
    at_ms bigint not null,
    constraint vote_is_one_for_each_key primary key (request_id, approver_key),
    constraint vote_is_on_a_request foreign key (request_id) references requests (id),
    constraint vote_is_yes_or_no check (answer in ('approve', 'deny'))
);

create unique index vote_is_one_for_each_name on votes (request_id, lower(approver_name));

create table grants (
    id text not null,
    request_id text not null,
    principal_key text not null,
    principal_name text not null,
    policy text not null,
    task text,
    starts_ms bigint not null,
    ends_ms bigint not null,
    approved_by text not null,
    created_ms bigint not null,
    state text not null,
    revoked_ms bigint,
    revoked_by text,
    revoked_comment text,
    version bigint not null,
    constraint grant_has_one_id primary key (id),
    constraint grant_is_one_for_each_request unique (request_id),
    constraint grant_comes_from_a_request foreign key (request_id) references requests (id),
    constraint grant_state_is_known check (state in ('expired', 'live', 'revoked')),
    constraint grant_ends_after_it_starts check (ends_ms > starts_ms),
    constraint grant_is_revoked_by_somebody
        check ((state = 'revoked') = (revoked_ms is not null) and (revoked_ms is null) = (revoked_by is null))
);

create index grants_by_person on grants (principal_key, id);
create index live_grants_by_end on grants (ends_ms) where state = 'live';
create index live_grants_by_id on grants (id) where state = 'live';

create table audit_outbox (
    id text not null,
    grant_id text,
    event text not null,
    constraint outbox_event_has_one_id primary key (id)
);

create index outbox_by_grant on audit_outbox (grant_id);
